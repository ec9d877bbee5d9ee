# SPDX-License-Identifier: Apache-2.0
"""Replies that begin well and cannot be used: the edge asks again, long before its deadline; other nodes answer 502."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from breaking_peer import note_heads
from edge_line import Line, running_line
from essence import Essence, of_reply
from nodes import NEVER, NOWHERE, PATIENCE_S, problem, running_channel, running_dashboard
from recording_proxy import RecordingProxy, recording_proxy, reply_of

#: Heads that a node could not hand on as they are.
ODD = {
    "beyond all statuses": reply_of(999),
    "below them": reply_of(99),
    "no final status": reply_of(101),
    "not Latin": reply_of(429, Retry_After="\u20ac"),
    "not UTF-8": reply_of(429, Retry_After="ODD").replace(b"ODD", b"\xf6"),
    "a control character": reply_of(429, Retry_After="1\x01"),
    "a number beyond all": reply_of(429, Retry_After="9" * 5000),
    "a media type": reply_of(422).replace(b"application/problem+json", "text/\u20ac".encode()),
}


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        yield line


@pytest.fixture(scope="module")
def undisturbed(line: Line) -> Essence:
    return of_reply(line.classify(threshold=NEVER))


@pytest.fixture(scope="module")
def odd() -> Iterator[RecordingProxy]:
    """Answers as it is told; there is nobody behind it."""
    with recording_proxy(NOWHERE) as proxy:
        yield proxy


def test_a_reply_that_becomes_no_http_is_asked_for_again(
    line: Line, undisturbed: Essence, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_heads(monkeypatch, line.proxy.head_arrived)
    reply = line.classify("garble", None, "garble", threshold=NEVER)
    assert (reply.http_retries, reply.restarts) == (2, 0)
    assert of_reply(reply) == undisturbed
    assert reply.total_ms < 1000 * PATIENCE_S / 2


@pytest.mark.parametrize("what", ODD)
def test_a_head_that_is_odd_is_asked_for_again(line: Line, undisturbed: Essence, what: str) -> None:
    reply = line.classify(ODD[what], None, ODD[what], threshold=NEVER)
    assert (reply.http_retries, reply.restarts) == (2, 0)
    assert of_reply(reply) == undisturbed


@pytest.mark.parametrize("what", ODD)
def test_a_head_that_is_odd_is_not_handed_on(odd: RecordingProxy, what: str) -> None:
    """Neither by the channel nor by the dashboard, on any way that a reply takes through them."""
    with running_channel(odd.url) as channel, running_dashboard(edge=odd.url, channel=odd.url) as dashboard:
        odd.faults[:] = [ODD[what]] * 2
        problem(channel.post(f"/v1/sessions/{'0' * 32}/result", json={"blocks": [0]}), 502)
        problem(dashboard.post("/v1/classify"), 502)
        assert odd.faults == []
