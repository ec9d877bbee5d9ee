# SPDX-License-Identifier: Apache-2.0
"""The edge's answer as server-sent events: the rounds as they end, the same result, every way in which it can fail."""

import threading
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest
from edge_line import IMAGE, PNG, Line, running_line
from essence import of_reply
from event_stream import reading
from nodes import AT_ONCE, NEVER, metric, problem, running_edge, until
from recording_proxy import Fault, reply_of

from channel.bsc import feedback_flipped
from client import Client
from models.frames import Frame
from models.transmitter import Transmitter, TransmitterState
from service.nodes.edge import stream
from service.wire import Classification, Event, Problem, RoundReport, Start

TERMS = {"ber": "0.2", "seed": "5"}
BY_EVENTS = {**PNG, "Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        yield line


def streamed(line: Line, *faults: Fault, **query: object) -> list[Event]:
    """All events of a classification, whose ids are checked."""
    line.proxy.exchanges.clear()
    line.proxy.faults[:] = faults
    with reading(line.edge, IMAGE, **TERMS, **{name: str(value) for name, value in query.items()}) as events:
        found = list(events.rest())
    assert line.proxy.faults == []
    assert events.ids == [str(number) for number in range(len(found))]
    return found


def lasting(reply: Classification) -> Classification:
    """A reply without what differs between two sessions: the name, the times, and the digits of times in messages."""
    rounds = tuple(r.model_copy(update={"edge_ms": 0.0, "channel_ms": 0.0, "cloud_ms": 0.0}) for r in reply.rounds)
    return reply.model_copy(update={"rounds": rounds, "session": "", "total_ms": 0.0, "wire_bytes": 0})


def result_of(events: Sequence[Event]) -> Classification:
    """The result of a stream that has nothing but what it must have."""
    start, *rounds, result = events
    assert isinstance(start, Start)
    assert isinstance(result, Classification)
    assert tuple(rounds) == result.rounds
    assert start.model_dump(exclude={"session"}) == result.model_dump(include=set(Start.model_fields) - {"session"})
    return result


@pytest.mark.parametrize(
    ("terms", "rounds"),
    [
        ({"threshold": NEVER}, 5),
        ({"threshold": AT_ONCE, "block": 3}, 1),
        ({"system": "snn-sc-margin-harq"}, None),
        ({"system": "multi-rate", "t": 6}, 1),
    ],
    ids=lambda value: value.get("system", "snn-sc-harq") if isinstance(value, dict) else str(value),
)
def test_the_result_is_the_json_reply(line: Line, terms: dict[str, object], rounds: int | None) -> None:
    events = streamed(line, **terms)
    result, reply = result_of(events), line.classify(**terms)
    assert lasting(result) == lasting(reply)
    assert rounds in (None, len(result.rounds))
    assert isinstance(events[0], Start)
    assert events[0].session == result.session


def test_each_round_is_told_before_the_next_is_sent(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge may encode a frame only when the test has read the round before: buffered events would never come."""
    read, encode = threading.Semaphore(1), Transmitter.encode

    def patient(self: Transmitter, *args: object) -> object:
        assert read.acquire(timeout=60), "the round before has not been read"
        return encode(self, *args)  # type: ignore[arg-type]  # handed on as they come

    line.proxy.exchanges.clear()
    monkeypatch.setattr(Transmitter, "encode", patient)
    with reading(line.edge, IMAGE, **TERMS, threshold=str(NEVER)) as events:
        assert isinstance(events.next(), Start)
        for number in range(1, 6):
            report = events.next()
            assert isinstance(report, RoundReport)
            assert report.round == number
            assert len(line.proxy.posts()) == 1, "the next frame is still to be sent"
            read.release()
        assert isinstance(events.next(), Classification)
        assert list(events.rest()) == []
    headers = events.response.headers
    assert headers["Content-Type"].partition(";")[0] == "text/event-stream"
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert headers["X-Request-ID"]


def test_the_client_reads_the_same(line: Line) -> None:
    """Through its own reader of events, which is not the tests'."""
    with Client(str(line.edge.base_url)) as client:
        events = list(client.stream(IMAGE, ber=0.2, seed=5, threshold=NEVER))
    assert lasting(result_of(events)) == lasting(line.classify(threshold=NEVER))


def test_while_nothing_happens_comments_keep_the_connection_alive(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    beaten, encode = threading.Event(), Transmitter.encode

    def slow(self: Transmitter, *args: object) -> object:
        assert beaten.wait(60)
        return encode(self, *args)  # type: ignore[arg-type]  # handed on as they come

    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(Transmitter, "encode", slow)
    with reading(line.edge, IMAGE, **TERMS) as events:
        lines = events.response.iter_lines()
        until(lambda: next(lines).startswith(":"), "a comment")
        beaten.set()
        assert "event: result" in list(lines), "the session has gone on"


@pytest.mark.parametrize("lost_at", [0, 1, 4])
def test_a_session_that_starts_over_tells_no_round_twice(line: Line, lost_at: int) -> None:
    whole = result_of(streamed(line, threshold=NEVER))
    events = streamed(line, *[None] * lost_at, reply_of(410, b'{"detail": "gone"}'), threshold=NEVER)
    result = result_of(events)
    assert (of_reply(result), result.restarts) == (of_reply(whole), 1)
    assert len(line.proxy.posts()) == 5 + lost_at, "replayed on the wire, and told once"
    assert isinstance(events[0], Start)
    assert events[0].session != result.session


def test_transport_errors_are_retried_and_told_once(line: Line) -> None:
    result = result_of(streamed(line, None, "lose-reply", reply_of(503), threshold=NEVER))
    assert [report.round for report in result.rounds] == [1, 2, 3, 4, 5]
    assert result.http_retries == 2


def test_corrupted_feedback_is_told_as_it_was_heard(line: Line) -> None:
    """An ACK at once that was a NACK: the round ends with it, and the result is asked for after that."""
    seed = next(s for s in count() if feedback_flipped(0.5, seed=s, block=0, t=4))
    line.channel.patch("/v1/links/feedback", json={"ber": 0.5})
    try:
        with reading(line.edge, IMAGE, ber="0.2", seed=str(seed), threshold=str(NEVER)) as events:
            result = result_of(list(events.rest()))
        reply = line.classify(seed=seed, threshold=NEVER)
    finally:
        line.channel.post("/v1/reset")
    assert (result.outcome, [report.feedback for report in result.rounds]) == ("feedback_error", ["ACK"])
    assert lasting(result) == lasting(reply)


GONE = reply_of(410, b'{"detail": "gone"}')


@pytest.mark.parametrize(
    ("faults", "status", "detail", "wait_s"),
    [
        ((None, reply_of(429, b'{"detail": "too many"}', Retry_After="3")), 429, "too many", 3),
        ((None, reply_of(400, b'{"detail": "odd"}')), 502, "odd", None),
        ((None, GONE, GONE, GONE), 502, "gone", None),
        ((None, reply_of(200, b'{"answer": 1}')), 502, "cannot be read", None),
    ],
    ids=["busy", "refused", "lost-for-good", "foreign"],
)
def test_a_failure_in_the_middle_ends_the_stream_with_a_problem(
    line: Line, faults: tuple[Fault, ...], status: int, detail: str, wait_s: int | None
) -> None:
    failures = metric(line.edge, "edge_failures_total", status=str(status))
    start, first, last = streamed(line, *faults, threshold=NEVER)
    assert isinstance(start, Start)
    assert isinstance(first, RoundReport)
    assert isinstance(last, Problem)
    assert (last.status, last.type) == (status, f"urn:spikelink:problem:{status}")
    assert detail in last.detail
    assert (last.model_extra or {}).get("retry_after_s") == wait_s
    assert last.request_id
    assert metric(line.edge, "edge_failures_total", status=str(status)) == failures + 1


def test_what_nobody_foresaw_is_a_problem_too(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Transmitter, "encode", broken)
    _, last = streamed(line)
    assert isinstance(last, Problem)
    assert last.status == 500
    assert "secret" not in last.detail


def test_a_deadline_that_passes_in_the_middle(toy_folder: Path, line: Line) -> None:
    with running_edge(toy_folder, line.proxy.url, deadline_s=1.0) as (edge, _):
        line.proxy.faults[:] = ["hang"]
        with reading(edge, IMAGE, **TERMS) as events:
            start, last = events.rest()
    assert isinstance(start, Start)
    assert isinstance(last, Problem)
    assert last.status == 504


@pytest.mark.parametrize("where", ["computing", "asking"])
def test_a_caller_that_goes_away_ends_its_session(line: Line, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, encode = threading.Event(), Transmitter.encode

    def slow(self: Transmitter, state: TransmitterState, frame: Frame) -> object:
        assert frame.round == 1 or go_on.wait(60)
        return encode(self, state, frame)

    def counts() -> list[float]:
        names = ("abandoned", "payload_bits", "images", "failures", "request_seconds_count")
        return [metric(line.edge, f"edge_{name}" if name.endswith("count") else f"edge_{name}_total") for name in names]

    before = counts()
    with monkeypatch.context() as patch:
        if where == "computing":
            patch.setattr(Transmitter, "encode", slow)
        line.proxy.exchanges.clear()
        line.proxy.faults[:] = [] if where == "computing" else [None, "hang"]
        with reading(line.edge, IMAGE, **TERMS, threshold=str(NEVER)) as events:
            events.next()
            assert isinstance(events.next(), RoundReport)
        until(lambda: metric(line.edge, "edge_abandoned_total") > before[0], "the session's end")
        go_on.set()
    moved = [after - value for after, value in zip(counts(), before, strict=True)]
    assert moved == [1, 2080, 0, 0, 1], "one round took place, and there is neither an image nor a failure"
    assert len(line.classify(threshold=NEVER).rounds) == 5, "the edge goes on"
    assert len(line.proxy.posts()) == 5, "nothing more was sent of the session that was given up"
    until(lambda: metric(line.edge, "compute_waiting") == 0, "the end of what was given up")


def test_a_full_queue_is_an_ordinary_problem(line: Line, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, begin = threading.Event(), Transmitter.begin
    with running_edge(toy_folder, line.proxy.url, max_waiting=1) as (edge, _):

        def slow(self: Transmitter, *args: object) -> object:
            assert go_on.wait(60)
            return begin(self, *args)  # type: ignore[arg-type]  # handed on as they come

        monkeypatch.setattr(Transmitter, "begin", slow)
        with reading(edge, IMAGE, **TERMS) as first, reading(edge, IMAGE, **TERMS) as second:
            try:
                until(lambda: metric(edge, "compute_waiting") == 2, "one image in work and one before it")
                refusal = edge.post("/v1/classify", content=IMAGE, headers=BY_EVENTS)
            finally:
                go_on.set()
            assert lasting(result_of(list(first.rest()))) == lasting(result_of(list(second.rest())))
        problem(refusal, 429)
        assert int(refusal.headers["Retry-After"]) >= 1
        assert metric(edge, "edge_failures_total", status="429") == 1
