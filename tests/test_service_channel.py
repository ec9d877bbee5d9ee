# SPDX-License-Identifier: Apache-2.0
"""The channel node before a cloud that answers as it is told: links, noise, feedback errors, refusals, tokens."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from nodes import metric, problem, running_channel, serving, until

from channel.bsc import feedback_flipped
from channel.transmission import transmit
from service.wire import BlockAnswer, FrameAnswer, FrameHead, LinkCounters, RelayedAnswer

SESSION = "0123456789abcdef" * 2
PAYLOAD = bytes(range(256)) + bytes(4)
SEED = 90071992


@dataclass
class ScriptedCloud:
    """Answers NACK to every block until told otherwise, and keeps what it was sent."""

    frames: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    feedback: str = "NACK"
    first_crossover: float | None = None
    reply: Response | None = None
    go_on: threading.Event = field(default_factory=threading.Event)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/frames")
        @app.post("/v1/sessions/{session}/result")
        async def anything(request: Request) -> Response:
            self.frames.append((dict(request.headers), await request.body()))
            return self.reply or self._answer(request)

        @app.get("/healthz")
        def health() -> dict[str, str]:
            return {"status": "ok"}

        @app.post("/slow/v1/frames")
        def slow(request: Request) -> Response:
            assert self.go_on.wait(60)
            return self._answer(request)

        return app

    def _answer(self, request: Request) -> Response:
        head = FrameHead.from_headers(request.headers)
        entry = {"feedback": self.feedback, "similarity": 0.5}
        if self.feedback == "ACK":
            top = [{"label": "rocket", "class_index": 69, "probability": 0.9}]
            entry |= {"outcome": "accepted", "prediction": {"label": "rocket", "class_index": 69, "top": top}}
        answers = tuple(BlockAnswer.model_validate({"block": block, **entry}) for block in head.blocks)
        crossover = self.first_crossover or float(request.headers["SpikeLink-Crossover"])
        answer = FrameAnswer(
            session=head.session, round=head.round, t=head.t, answers=answers, crossover=crossover, cloud_ms=0.0
        )
        return Response(answer.model_dump_json(), media_type="application/json")


@pytest.fixture
def cloud() -> Iterator[tuple[ScriptedCloud, str]]:
    script = ScriptedCloud()
    with serving(script.app()) as http:
        yield script, str(http.base_url).rstrip("/")


@pytest.fixture
def channel(cloud: tuple[ScriptedCloud, str]) -> Iterator[httpx2.Client]:
    with running_channel(cloud[1]) as http:
        yield http


def frame(
    http: httpx2.Client, payload: bytes = PAYLOAD, blocks: tuple[int, ...] = (0,), **headers: str
) -> httpx2.Response:
    head = FrameHead(
        session=SESSION,
        round=1,
        t=4,
        position=0,
        blocks=blocks,
        system="snn-sc-harq",
        profile="resnet18",
        weights="1" * 64,
        threshold=0.1,
        digest=sha256(payload).hexdigest(),
    )
    named = {f"SpikeLink-{name.replace('_', '-')}": value for name, value in headers.items()}
    values = {**head.to_headers(), "SpikeLink-Seed": str(SEED), "Content-Type": "application/octet-stream", **named}
    return http.post("/v1/frames", content=payload, headers=values)


def relayed(response: httpx2.Response) -> RelayedAnswer:
    assert response.status_code == 200, response.text
    return RelayedAnswer.model_validate_json(response.content)


def links(http: httpx2.Client) -> dict[str, LinkCounters]:
    found = [LinkCounters.model_validate(entry) for entry in http.get("/v1/links").json()]
    return {entry.name: entry for entry in found}


def test_links_are_listed_changed_and_reset(cloud: tuple[ScriptedCloud, str]) -> None:
    with running_channel(cloud[1], ber=0.1, feedback_ber=0.2, latency_ms=1.0) as http:
        assert {name: (link.ber, link.latency_ms, link.revision) for name, link in links(http).items()} == {
            "forward": (0.1, 1.0, 0),
            "feedback": (0.2, 0.0, 0),
        }
        changed = LinkCounters.model_validate(http.patch("/v1/links/forward", json={"ber": 0.3}).json())
        assert (changed.ber, changed.latency_ms, changed.revision) == (0.3, 1.0, 1), "what is not named stays"
        assert http.get("/v1/links/forward").json() == changed.model_dump()
        http.patch("/v1/links/feedback", json={"ber": 0.0, "latency_ms": 2.0})
        back = http.post("/v1/links/forward/reset").json()
        assert (back["ber"], back["latency_ms"], back["revision"]) == (0.1, 1.0, 2)
        assert links(http)["feedback"].ber == 0.0
        both = {entry["name"]: entry for entry in http.post("/v1/reset").json()}
        assert [(both[name]["ber"], both[name]["revision"]) for name in ("forward", "feedback")] == [(0.1, 3), (0.2, 2)]


def test_the_links_noise_is_the_keyed_one_and_a_change_counts_from_the_next_frame(
    cloud: tuple[ScriptedCloud, str], channel: httpx2.Client
) -> None:
    for revision, ber in enumerate((0.0, 0.2, 0.5)):
        if ber:
            channel.patch("/v1/links/forward", json={"ber": ber})
        expected = transmit(PAYLOAD, ber, seed=SEED, blocks=[0], position=0)
        answer = relayed(frame(channel))
        assert (answer.answer.crossover, answer.flipped_bits, answer.revision) == (ber, expected.flipped_bits, revision)
        headers, body = cloud[0].frames[-1]
        assert body == expected.payload
        assert headers["spikelink-crossover"] == repr(ber)
    counted = links(channel)["forward"]
    assert counted.bits == 3 * 8 * len(PAYLOAD)
    assert counted.flipped_bits == sum(
        transmit(PAYLOAD, ber, seed=SEED, blocks=[0], position=0).flipped_bits[0] for ber in (0.2, 0.5)
    )


def test_the_links_model_is_changed_and_used(cloud: tuple[ScriptedCloud, str], channel: httpx2.Client) -> None:
    changed = channel.patch("/v1/links/forward", json={"model": "bursts", "ber": 0.2}).json()
    assert (changed["model"], changed["ber"], changed["revision"]) == ("bursts", 0.2, 1)
    expected = transmit(PAYLOAD, 0.2, seed=SEED, blocks=[3, 7], position=0, model="bursts")
    assert relayed(frame(channel, blocks=(3, 7))).flipped_bits == expected.flipped_bits
    assert cloud[0].frames[-1][1] == expected.payload
    assert channel.post("/v1/reset").json()[0]["model"] == "bsc"


@pytest.mark.parametrize(("link", "model"), [("forward", "fading"), ("feedback", "bursts")])
def test_a_model_that_the_link_cannot_have_is_refused(channel: httpx2.Client, link: str, model: str) -> None:
    refused = channel.patch(f"/v1/links/{link}", json={"model": model})
    assert "model" in problem(refused, 422).detail
    assert links(channel)[link].revision == 0


def test_a_requests_ber_replaces_the_links(cloud: tuple[ScriptedCloud, str], channel: httpx2.Client) -> None:
    channel.patch("/v1/links/forward", json={"ber": 0.4})
    answer = relayed(frame(channel, blocks=(3, 7), Ber="0.1"))
    expected = transmit(PAYLOAD, 0.1, seed=SEED, blocks=[3, 7], position=0)
    assert (answer.answer.crossover, answer.flipped_bits) == (0.1, expected.flipped_bits)
    assert cloud[0].frames[-1][1] == expected.payload
    assert relayed(frame(channel, Ber="0.0")).flipped_bits == (0,)


def test_neither_seed_nor_requested_ber_goes_on(cloud: tuple[ScriptedCloud, str], channel: httpx2.Client) -> None:
    relayed(frame(channel, Ber="0.25"))
    headers, _ = cloud[0].frames[-1]
    assert not {"spikelink-seed", "spikelink-ber"} & headers.keys()
    assert str(SEED) not in json.dumps(headers)


@pytest.mark.parametrize("feedback", ["ACK", "NACK"])
def test_a_corrupted_feedback_is_inverted_and_the_result_withheld(
    cloud: tuple[ScriptedCloud, str], channel: httpx2.Client, feedback: str
) -> None:
    cloud[0].feedback = feedback
    channel.patch("/v1/links/feedback", json={"ber": 0.5})
    blocks = tuple(range(16))
    flipped = [feedback_flipped(0.5, seed=SEED, block=block, t=4) for block in blocks]
    assert len(set(flipped)) == 2
    answer = relayed(frame(channel, bytes(16 * 260), blocks=blocks))
    other = {"ACK": "NACK", "NACK": "ACK"}[feedback]
    heard = answer.answer.answers
    assert [entry.feedback for entry in heard] == [other if flip else feedback for flip in flipped]
    assert [entry.prediction is not None for entry in heard] == [feedback == "ACK" and not flip for flip in flipped]
    assert [entry.outcome is not None for entry in heard] == [feedback == "ACK" and not flip for flip in flipped]
    assert list(answer.inverted_feedback) == flipped
    counted = links(channel)["feedback"]
    assert (counted.bits, counted.flipped_bits) == (16, sum(flipped))


def test_a_link_changed_while_a_frame_is_on_its_way_leaves_that_frame_alone(cloud: tuple[ScriptedCloud, str]) -> None:
    seed = next(s for s in count() if feedback_flipped(0.5, seed=s, block=0, t=4))
    with running_channel(cloud[1] + "/slow") as http, ThreadPoolExecutor(1) as pool:
        try:
            reply = pool.submit(frame, http, Seed=str(seed))
            until(lambda: links(http)["forward"].bits > 0, "the frame's way through the forward link")
            http.patch("/v1/links/feedback", json={"ber": 0.5})
            http.patch("/v1/links/forward", json={"ber": 0.5})
        finally:
            cloud[0].go_on.set()
        answer = relayed(reply.result())
        assert (answer.inverted_feedback, answer.answer.crossover, answer.revision) == ((False,), 0.0, 0)
        after = relayed(frame(http, Seed=str(seed)))
        assert (after.inverted_feedback, after.answer.crossover, after.revision) == ((True,), 0.5, 1)


def test_a_replayed_answer_comes_with_the_noise_of_the_first_try(
    cloud: tuple[ScriptedCloud, str], channel: httpx2.Client
) -> None:
    """The link flipped the bits of both tries, and its counters say so."""
    channel.patch("/v1/links/forward", json={"ber": 0.3})
    cloud[0].first_crossover = 0.1
    answer = relayed(frame(channel))
    first, second = (transmit(PAYLOAD, ber, seed=SEED, blocks=[0], position=0).flipped_bits for ber in (0.1, 0.3))
    assert (answer.answer.crossover, answer.flipped_bits, answer.revision) == (0.1, first, 1)
    assert links(channel)["forward"].flipped_bits == sum(second) != sum(first)


def test_latency_is_added_and_reported_as_the_channels_time(
    cloud: tuple[ScriptedCloud, str], channel: httpx2.Client
) -> None:
    channel.patch("/v1/links/forward", json={"latency_ms": 120})
    channel.patch("/v1/links/feedback", json={"latency_ms": 80})
    started = time.perf_counter()
    answer = relayed(frame(channel))
    assert time.perf_counter() - started >= 0.2
    assert answer.channel_ms >= 200


@pytest.mark.parametrize(
    "change",
    [{"ber": 0.51}, {"ber": -0.1}, {"ber": "high"}, {"latency_ms": -1}, {"latency_ms": 60_001}, {"loss": 0.1}, []],
)
def test_a_bad_change_changes_nothing(channel: httpx2.Client, change: object) -> None:
    before = links(channel)
    problem(channel.patch("/v1/links/forward", content=json.dumps(change)), 422)
    problem(channel.patch("/v1/links/forward", content=b'{"ber": NaN}'), 422)
    assert links(channel) == before


def test_an_unknown_link(channel: httpx2.Client) -> None:
    for response in (
        channel.get("/v1/links/sideways"),
        channel.patch("/v1/links/sideways", json={"ber": 0.1}),
        channel.post("/v1/links/sideways/reset"),
    ):
        assert "forward" in problem(response, 404).detail


def test_what_the_channel_counts(cloud: tuple[ScriptedCloud, str], channel: httpx2.Client) -> None:
    answer = relayed(frame(channel, Ber="0.3"))
    assert metric(channel, "channel_bits_total", link="forward") == 8 * len(PAYLOAD)
    assert metric(channel, "channel_flipped_bits_total", link="forward") == sum(answer.flipped_bits)
    assert metric(channel, "channel_bits_total", link="feedback") == 1
    assert metric(channel, "channel_feedback_total", feedback="NACK") == 1
    assert metric(channel, "channel_feedback_total", feedback="ACK") == 0
    assert metric(channel, "channel_frame_seconds_count") == 1
