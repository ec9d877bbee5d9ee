# SPDX-License-Identifier: Apache-2.0
"""The edge over a channel that fails on request: retries, restarts, deadlines, seeds, what the nodes count."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import httpx2
import pytest
from edge_line import IMAGE, PNG, Line, running_line
from essence import Essence, of_reply
from nodes import NEVER, metric, png, problem, running_edge, until
from recording_proxy import Fault, HttpMessage, reply_of
from toy import toy_images

from channel.bsc import feedback_flipped
from service.wire import BatchClassification, Classification, RelayedAnswer

DEAD = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        yield line


@pytest.fixture(scope="module")
def undisturbed(line: Line) -> Essence:
    """Five rounds without a fault."""
    reply = line.classify(threshold=NEVER)
    assert (reply.http_retries, reply.restarts, len(reply.rounds)) == (0, 0, 5)
    return of_reply(reply)


@pytest.mark.parametrize(
    "faults",
    [
        (reply_of(503), "reset"),
        (reply_of(502), reply_of(504)),
        (reply_of(408), None, reply_of(408)),
        (None, "reset", reply_of(503)),
        ("lose-reply", "lose-reply"),
        (None, None, "lose-reply", None, "lose-reply"),
    ],
    ids=["first-frame", "gateway", "stood-still", "second-frame", "reply-lost", "replies-lost-later"],
)
def test_transport_errors_are_retried_and_do_not_show(
    line: Line, undisturbed: Essence, faults: tuple[Fault, ...]
) -> None:
    replays = metric(line.cloud, "cloud_frames_total", kind="replayed")
    reply = line.classify(*faults, threshold=NEVER)
    assert (reply.http_retries, reply.restarts) == (2, 0)
    assert of_reply(reply) == undisturbed
    lost = faults.count("lose-reply")
    assert metric(line.cloud, "cloud_frames_total", kind="replayed") == replays + lost, "seen twice, combined once"


@pytest.mark.parametrize("status", [410, 409])
@pytest.mark.parametrize("lost_at", [0, 1, 4])
def test_a_lost_session_starts_over_with_the_same_result(
    line: Line, undisturbed: Essence, status: int, lost_at: int
) -> None:
    reply = line.classify(*[None] * lost_at, reply_of(status, b'{"detail": "gone"}'), threshold=NEVER)
    assert (reply.http_retries, reply.restarts) == (0, 1)
    assert of_reply(reply) == undisturbed
    sent = line.proxy.posts()
    assert len({exchange.request.headers["spikelink-session"] for exchange in sent}) == (2 if lost_at else 1)
    assert sent[-1].request.headers["spikelink-session"] == reply.session
    assert [exchange.request.headers["spikelink-round"] for exchange in sent] == [
        str(round_) for round_ in (*range(1, lost_at + 1), *range(1, 6))
    ]


def test_other_weights_are_told_at_once(line: Line) -> None:
    """Starting over would meet the same other weights."""
    others = reply_of(409, b'{"detail": "the edge has others", "weights_sha256": "00"}')
    assert "the edge has others" in problem(line.post(others, threshold=NEVER), 502).detail
    assert line.proxy.posts() == []


def test_a_session_that_is_lost_again_and_again_is_a_failure_of_the_cloud(line: Line) -> None:
    gone = reply_of(410, b'{"detail": "gone"}')
    assert "gone" in problem(line.post(gone, gone, gone, threshold=NEVER), 502).detail
    assert line.proxy.faults == []


@pytest.mark.parametrize("losses", [1, 2, 3])
def test_a_session_lost_before_its_result(line: Line, losses: int) -> None:
    seed = next(s for s in count() if feedback_flipped(0.5, seed=s, block=0, t=4))
    line.channel.patch("/v1/links/feedback", json={"ber": 0.5})
    try:
        whole = line.classify(threshold=NEVER, seed=seed)
        assert (whole.outcome, len(whole.rounds)) == ("feedback_error", 1)
        gone = reply_of(410, b'{"detail": "gone"}')
        # The result is asked for after the frame, and again after each replay of the frame.
        faults: list[Fault] = [fault for _ in range(losses) for fault in (None, gone)]
        response = line.post(*faults, threshold=NEVER, seed=seed)
        if losses == 3:
            problem(response, 502)
        else:
            reply = Classification.model_validate_json(response.content)
            assert (of_reply(reply), reply.restarts) == (of_reply(whole), losses)
    finally:
        line.channel.post("/v1/reset")


@pytest.mark.parametrize(
    ("status", "seen"), [(422, 422), (429, 429), (400, 502), (401, 502), (404, 502), (413, 502), (500, 502)]
)
def test_a_refusal_from_beyond_reaches_the_caller(line: Line, status: int, seen: int) -> None:
    response = line.post(reply_of(status, b'{"detail": "of a node beyond"}', Retry_After="3"))
    assert problem(response, seen).detail == "of a node beyond"
    assert response.headers["Retry-After"] == "3"


def test_an_answer_that_cannot_be_read(line: Line) -> None:
    problem(line.post(reply_of(200, b'{"answer": 1}')), 502)


@pytest.mark.parametrize(
    "other",
    [{"session": "f" * 32}, {"round": 2}, {"answers": []}, {"answers": [{"block": 1, "feedback": "NACK"}]}],
    ids=lambda other: next(iter(other)),
)
def test_an_answer_to_another_frame_is_the_channels_fault(line: Line, other: dict[str, object]) -> None:
    """Well-formed, and of no use: it was an unforeseen error, or another block's answer was taken for this one's."""

    def answer(request: HttpMessage) -> bytes:
        whole = RelayedAnswer.model_validate_json(answered[0].response.body).model_dump()
        named = {"session": request.headers["spikelink-session"], "round": 1, **other}
        return reply_of(200, json.dumps({**whole, "answer": {**whole["answer"], **named}}).encode())

    line.classify(threshold=NEVER)
    answered = line.proxy.posts()
    problem(line.post(answer, threshold=NEVER), 502)


def test_results_of_other_blocks_are_the_channels_fault(line: Line) -> None:
    seed = next(s for s in count() if feedback_flipped(0.5, seed=s, block=0, t=4))
    line.channel.patch("/v1/links/feedback", json={"ber": 0.5})
    try:
        line.classify(threshold=NEVER, seed=seed)
        whole = json.loads(line.proxy.posts()[-1].response.body)
        for results in ([], [{**whole["results"][0], "block": 1}], whole["results"] * 2):
            answer = reply_of(200, json.dumps({**whole, "results": results}).encode())
            problem(line.post(None, answer, threshold=NEVER, seed=seed), 502)
    finally:
        line.channel.post("/v1/reset")


@pytest.mark.parametrize("route", ["/v1/classify", "/v1/classify/batch"])
def test_a_caller_that_goes_away_ends_its_session(line: Line, route: str) -> None:
    """It went on to its end or its deadline, a minute, for nobody: only a caller that reads events was missed."""
    batch = {"files": [("images", ("a.png", IMAGE, "image/png"))]}
    sent = httpx2.Request("POST", "http://localhost", **(batch if "batch" in route else {"content": IMAGE}))  # type: ignore[arg-type]
    body, kind = sent.read(), sent.headers.get("Content-Type", PNG["Content-Type"])
    abandoned = metric(line.edge, "edge_abandoned_total")
    line.proxy.exchanges.clear()
    line.proxy.faults[:] = [None, "hang"]
    base = line.edge.base_url
    connection = HTTPConnection(base.host, base.port or 80, timeout=60)
    with closing(connection):
        connection.request("POST", f"{route}?threshold={NEVER}", body, {"Content-Type": kind})
        until(lambda: line.proxy.faults == [], "the second round, which is never answered")
    until(lambda: metric(line.edge, "edge_abandoned_total") == abandoned + 1, "the session's end")
    assert len(line.classify(threshold=NEVER).rounds) == 5, "the edge goes on"
    assert len(line.proxy.posts()) == 5, "nothing more was sent of the session that was given up"


def test_a_hanging_channel_costs_no_more_than_the_deadline(toy_folder: Path, line: Line) -> None:
    with running_edge(toy_folder, line.proxy.url, deadline_s=1.0) as (edge, _):
        line.proxy.faults[:] = ["hang"]
        started = time.monotonic()
        problem(edge.post("/v1/classify", content=IMAGE, headers=PNG), 504)
        assert 0.9 < time.monotonic() - started < 1.0 + 5.0, "the deadline and the time of a computation"


def test_a_channel_that_receives_nothing_in_time_is_the_one_that_failed(toy_folder: Path, line: Line) -> None:
    """A 408 of the edge's own would tell its caller that the image came too slowly."""
    with running_edge(toy_folder, line.proxy.url, deadline_s=1.0) as (edge, _):
        line.proxy.faults[:] = [reply_of(408)] * 100
        response = edge.post("/v1/classify", content=IMAGE, headers=PNG)
        assert response.status_code in (502, 504), "504 where the computation alone took the deadline"
        problem(response, response.status_code)
        line.proxy.faults.clear()


def test_a_dead_channel_is_asked_until_the_deadline(toy_folder: Path) -> None:
    with running_edge(toy_folder, DEAD, deadline_s=1.0) as (edge, _):
        started = time.monotonic()
        response = edge.post("/v1/classify", content=IMAGE, headers=PNG)
        assert response.status_code in (502, 504), "504 where the computation alone took the deadline"
        problem(response, response.status_code)
        assert time.monotonic() - started < 1.0 + 5.0
        readiness = edge.get("/readyz")
        assert (readiness.status_code, readiness.json()["ready"]) == (503, False)
        assert readiness.json()["checks"]["channel"] != "ok"
        assert edge.get("/healthz").status_code == 200


def test_a_seed_that_is_absent_is_drawn_reported_and_reproduces(line: Line) -> None:
    first, second = line.classify(seed=None, threshold=NEVER), line.classify(seed=None, threshold=NEVER)
    assert first.seed != second.seed
    assert 0 <= min(first.seed, second.seed) <= max(first.seed, second.seed) < 2**53
    assert of_reply(first) != of_reply(second)
    assert of_reply(line.classify(seed=first.seed, threshold=NEVER)) == of_reply(first)


def test_a_reply_names_its_terms(line: Line) -> None:
    reply = line.classify(threshold=0.25, block=2**53 - 1, seed=2**53 - 1)
    assert (reply.seed, reply.block, reply.ber, reply.threshold) == (2**53 - 1, 2**53 - 1, 0.2, 0.25)
    assert (reply.system, reply.profile, reply.durable) == ("snn-sc-harq", "resnet18", True)
    assert len(reply.top) == 5
    assert reply.total_ms >= sum(entry.edge_ms + entry.channel_ms + entry.cloud_ms for entry in reply.rounds) - 1
    assert line.classify(system="multi-rate", t=4).threshold is None


def test_the_reported_ber_is_the_bit_weighted_mean_of_the_links(line: Line) -> None:
    bers = iter((0.1, 0.3, 0.3, 0.3))

    def change() -> None:
        line.channel.patch("/v1/links/forward", json={"ber": next(bers, 0.3)})

    line.channel.patch("/v1/links/forward", json={"ber": 0.4})
    line.proxy.on_reply = change
    try:
        reply = line.classify(ber=None, threshold=NEVER)
    finally:
        line.proxy.on_reply = None
        line.channel.post("/v1/reset")
    assert reply.ber == pytest.approx((0.4 * 2080 + 0.1 * 512 + 3 * 0.3 * 512) / 4128, rel=1e-12)


def test_what_the_nodes_count(line: Line) -> None:
    def counts() -> dict[str, float]:
        return {
            "images": metric(line.edge, "edge_images_total", system="snn-sc-harq", outcome="exhausted"),
            "edge bits": metric(line.edge, "edge_payload_bits_total"),
            "wire": metric(line.edge, "edge_wire_bytes_total"),
            "edge ACK": metric(line.edge, "edge_rounds_total", feedback="ACK"),
            "edge NACK": metric(line.edge, "edge_rounds_total", feedback="NACK"),
            "retries": metric(line.edge, "edge_http_retries_total"),
            "restarts": metric(line.edge, "edge_restarts_total"),
            "requests": metric(line.edge, "edge_request_seconds_count"),
            "channel bits": metric(line.channel, "channel_bits_total", link="forward"),
            "flips": metric(line.channel, "channel_flipped_bits_total", link="forward"),
            "channel frames": metric(line.channel, "channel_frame_seconds_count"),
            "cloud bits": metric(line.cloud, "cloud_payload_bits_total"),
            "cloud ACK": metric(line.cloud, "cloud_answers_total", feedback="ACK"),
            "cloud NACK": metric(line.cloud, "cloud_answers_total", feedback="NACK"),
            "cloud frames": metric(line.cloud, "cloud_frame_seconds_count"),
        }

    before = counts()
    reply = line.classify(reply_of(503), threshold=NEVER)
    moved = {name: value - before[name] for name, value in counts().items()}
    assert moved == {
        "images": 1,
        "edge bits": 4128,
        "wire": reply.wire_bytes,
        "edge ACK": 1,
        "edge NACK": 4,
        "retries": 1,
        "restarts": 0,
        "requests": 1,
        "channel bits": 4128,
        "flips": sum(entry.flipped_bits for entry in reply.rounds),
        "channel frames": 5,
        "cloud bits": 4128,
        "cloud ACK": 1,
        "cloud NACK": 4,
        "cloud frames": 5,
    }


def test_a_batch_whose_session_is_lost_starts_over_as_a_whole(line: Line) -> None:
    files = [("images", (f"{i}.png", png(image), "image/png")) for i, image in enumerate(toy_images(6, seed=11))]
    replies = []
    for faults in ([], [None, reply_of(410)]):
        line.proxy.faults[:] = faults
        response = line.edge.post("/v1/classify/batch", params={"ber": 0.1, "seed": 3}, files=files)
        assert response.status_code == 200, response.text
        replies.append(BatchClassification.model_validate_json(response.content))
    assert [result.restarts for reply in replies for result in reply.results] == [0] * 6 + [1] * 6
    assert [of_reply(result) for result in replies[0].results] == [of_reply(result) for result in replies[1].results]
    assert all(result.wire_bytes is None for result in replies[0].results)
