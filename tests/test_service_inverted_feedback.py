# SPDX-License-Identifier: Apache-2.0
"""Feedback that the link turned round: the channel says so of each block, and the edge of each round."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_line import Line, running_line
from nodes import NEVER, png, problem
from recording_proxy import HttpMessage, reply_of
from toy import toy_images

from channel.bsc import feedback_flipped
from service.wire import BatchClassification, RelayedAnswer

FEEDBACK_BER = 0.4


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(toy_folder, tmp_path_factory.mktemp("sessions")) as nodes:
        yield nodes


def test_each_round_says_whether_its_feedback_was_inverted(line: Line) -> None:
    """Blocks leave the batch one after the other, so that a block's place in the frame is not that in the batch."""
    files = [("images", (f"{i}.png", png(image), "image/png")) for i, image in enumerate(toy_images(12, seed=11))]
    line.channel.patch("/v1/links/feedback", json={"ber": FEEDBACK_BER})
    try:
        terms = {"ber": 0.1, "seed": 3, "threshold": NEVER}
        response = line.edge.post("/v1/classify/batch", params=terms, files=files)
    finally:
        line.channel.post("/v1/reset")
    reply = BatchClassification.model_validate_json(response.content)
    for result in reply.results:
        for heard in result.rounds:
            turned = feedback_flipped(FEEDBACK_BER, seed=3, block=result.block, t=heard.t)
            said = "ACK" if heard.t == 8 else "NACK"
            assert (heard.feedback_inverted, heard.feedback == said) == (turned, not turned)
    lengths = {len(result.rounds) for result in reply.results}
    assert len(lengths) > 2, "some end early, for they heard an ACK"
    assert any(result.rounds[-1].feedback == "NACK" for result in reply.results)


@pytest.mark.parametrize("told", [[], [False, False]])
def test_of_another_number_of_blocks_is_the_channels_fault(line: Line, told: list[bool]) -> None:
    def answer(request: HttpMessage) -> bytes:
        whole = RelayedAnswer.model_validate_json(answered[0].response.body).model_dump()
        whole["answer"]["session"] = request.headers["spikelink-session"]
        return reply_of(200, json.dumps({**whole, "inverted_feedback": told}).encode())

    line.classify(threshold=NEVER)
    answered = line.proxy.posts()
    problem(line.post(answer, threshold=NEVER), 502)
