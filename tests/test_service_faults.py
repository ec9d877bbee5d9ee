# SPDX-License-Identifier: Apache-2.0
"""Faults of whole processes under load (docs/faults.md): killed, frozen, asked to end; and clients that are slow."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_line import PNG
from essence import Essence
from fault_line import RECEIVE_S, FaultLine, Load, Sent, essences, fault_line, refusal, sent_to
from nodes import PATIENCE_S, problem, running_edge, until
from slow_client import Trickle, body_head, trickle

from service.wire import OCTETS, Classification, Problem

#: Who must stand still so that a node's requests stay where they are.
BEHIND = {"dashboard": "edge", "edge": "channel", "channel": "cloud", "cloud": "redis"}


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultLine]:
    with fault_line(toy_folder, tmp_path_factory.mktemp("faults")) as line:
        yield line


@pytest.fixture(scope="module")
def load(line: FaultLine) -> Load:
    return Load(line, 5)


@pytest.fixture(scope="module")
def expected(load: Load) -> list[Essence]:
    return load.expected()


@pytest.mark.parametrize("parts", [("channel",), ("cloud",), ("redis",), ("redis", "cloud")], ids="+".join)
def test_killed_under_load(line: FaultLine, load: Load, expected: list[Essence], parts: tuple[str, ...]) -> None:
    """No caller notices: what is behind the edge comes back, and the edge has asked again meanwhile."""
    with load.running() as futures:
        for part in parts:
            line.kill(part)
            if part == "redis":
                line.wait_for_frames(len(load.files))
        for part in parts:
            line.start(part)
        replies = [future.result(PATIENCE_S) for future in futures]
    assert essences(replies) == expected
    assert all(reply.durable for reply in replies) is ("redis" not in parts)
    assert any(reply.http_retries for reply in replies) is (parts != ("redis",))
    # Sessions that were in a memory alone have to start over, all others go on.
    assert any(reply.restarts for reply in replies) is (len(parts) == 2)
    with line.http("cloud") as cloud:
        until(lambda: cloud.get("/readyz").json()["durable"], "the store's return")


def test_a_killed_edge_is_seen_and_gives_the_same_again(line: FaultLine, load: Load, expected: list[Essence]) -> None:
    """What it had accepted is gone with it. The caller knows, and its request means the same the next time."""
    sent = sent_to(line, "edge", load)
    line.wait_for_frames(1)
    line.kill("edge")
    for request in sent:
        with pytest.raises(OSError, match=r"reset|closed"):
            request.answer()
    line.start("edge")
    assert answered(sent_to(line, "edge", load)) == expected


@pytest.mark.parametrize("part", ["dashboard", "edge", "channel", "cloud", "redis"])
def test_frozen_under_load(line: FaultLine, load: Load, expected: list[Essence], part: str) -> None:
    """A process that stands still and goes on: answers come late, and are the same."""
    with line.frozen(part):
        sent = sent_to(line, "dashboard" if part == "dashboard" else "edge", load)
        assert not any(request.is_answered(0.5 / len(sent)) for request in sent)
    assert answered(sent) == expected


@pytest.mark.parametrize("part", ["channel", "cloud"])
def test_frozen_for_longer_than_the_deadline(line: FaultLine, load: Load, part: str) -> None:
    """The caller hears so in time, and nothing has to be done afterwards."""
    with running_edge(line.weights, line.nodes.urls["channel"], deadline_s=2.0) as (edge, _):
        began_s = time.monotonic()
        with line.frozen(part):
            refused = edge.post(load.target(0), content=load.files[0], headers=PNG)
        assert time.monotonic() - began_s < 2.0 + 5.0, "the deadline and the time of a computation"
        problem(refused, 504)
        until(lambda: edge.post(load.target(0), content=load.files[0], headers=PNG).status_code == 200, "its return")


@pytest.mark.parametrize("role", ["dashboard", "edge", "channel", "cloud"])
def test_asked_to_end_under_load(line: FaultLine, load: Load, expected: list[Essence], role: str) -> None:
    """What has been accepted is answered, however late; what comes then is turned away; the process leaves."""
    with line.frozen(BEHIND[role]):
        sent = sent_to(line, role, load)
        with line.http(role) as node:
            assert node.get("/healthz").status_code == 200, "asked after the others, which are accepted by now"
        os.kill(line.nodes.pids[role], signal.SIGTERM)
        turned_away: list[int | None] = [400]
        until(lambda: turned_away.append(refusal(line, role)) or turned_away[-1] is None, "the end of its listening")
    if role in ("dashboard", "edge"):
        assert answered(sent) == expected
    else:
        assert [request.answer()[0].status for request in sent] == [200] * len(sent)
    assert set(turned_away[1:]) <= {503, None}
    assert line.nodes.stop(role) == -signal.SIGTERM, "by itself"
    line.start(role)


def test_an_edge_that_must_end_before_its_requests_says_so(line: FaultLine, load: Load) -> None:
    with line.with_grace("edge", 1), line.frozen("channel"):
        sent = sent_to(line, "edge", load)
        assert not any(request.is_answered(0.1) for request in sent)
        assert line.nodes.stop("edge") == -signal.SIGTERM
        for request in sent:
            response, body = request.answer()
            assert (response.status, response.getheader("Retry-After")) == (503, "1")
            assert response.getheader("Content-Type") == "application/problem+json"
            assert Problem.model_validate_json(body).request_id == response.getheader("X-Request-ID")


def test_a_channel_that_must_end_before_its_frames_loses_none(
    line: FaultLine, load: Load, expected: list[Essence]
) -> None:
    with line.with_grace("channel", 1):
        with line.frozen("cloud"):
            sent = sent_to(line, "edge", load)
            until(lambda: forward_bits(line) == 2080 * len(sent), "all first frames, which the cloud does not answer")
            assert line.nodes.stop("channel") == -signal.SIGTERM
        line.start("channel")
        assert answered(sent) == expected


def forward_bits(line: FaultLine) -> int:
    with line.http("channel") as channel:
        return int(channel.get("/v1/links/forward").json()["bits"])


#: A body of each kind that a node reads: whole by its own hand, as a form or as JSON by the framework's.
SLOW_BODIES = [
    ("edge", "/v1/classify", "image/png"),
    ("edge", "/v1/classify/batch", "multipart/form-data; boundary=x"),
    ("channel", "/v1/frames", OCTETS),
    ("cloud", f"/v1/sessions/{'0' * 32}/result", "application/json"),
    ("dashboard", "/v1/sweeps", "application/json"),
]
#: The beginning of a form, so that what reads one finds nothing wrong with it.
FORM = b'--x\r\nContent-Disposition: form-data; name="images"; filename="0.png"\r\n'


def test_bodies_that_come_a_byte_a_second(line: FaultLine, load: Load, expected: list[Essence]) -> None:
    """Each is given up in time, with a problem and the connection's end, and keeps nobody waiting meanwhile."""
    slow = [Trickle(line.nodes.urls[role], body_head(path, kind), FORM) for role, path, kind in SLOW_BODIES]
    for role in line.nodes.urls:
        with line.http(role) as node:
            assert node.get("/healthz").status_code == 200
    assert not any(client.hears() for client in slow), "so these were not in the way of those"
    assert answered(sent_to(line, "dashboard", load)) == expected
    trickle(slow)
    for client in slow:
        assert RECEIVE_S - 0.1 < client.ended_s < RECEIVE_S + 10.0
        head, _, body = client.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert {b"connection: close", b"content-type: application/problem+json"} <= set(head.lower().split(b"\r\n"))
        assert "was not there within 4 s" in Problem.model_validate_json(body).detail


def test_heads_that_come_a_byte_a_second(line: FaultLine) -> None:
    """A connection that says nothing, a head on a fresh one, and another after an answer: each is closed."""
    head, url = body_head("/v1/classify", "image/png"), line.nodes.urls["edge"]
    slow = [Trickle(url, b"", b""), Trickle(url, b"", head), Trickle(url, b"GET /healthz HTTP/1.1\r\n\r\n", head)]
    trickle(slow)
    assert [client.received[:15] for client in slow] == [b"", b"", b"HTTP/1.1 200 OK"]
    for client in slow:
        assert RECEIVE_S - 0.1 < client.ended_s < RECEIVE_S + 10.0


def answered(sent: list[Sent]) -> list[Essence]:
    """What the edge says to each, which must be a result."""
    replies = []
    for request in sent:
        response, body = request.answer()
        assert response.status == 200, body
        replies.append(Classification.model_validate_json(body))
    return essences(replies)
