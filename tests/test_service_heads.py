# SPDX-License-Identifier: Apache-2.0
"""The head of a request is bounded at every node, before anybody looks at a token: 64 KiB, whatever it is made of."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from four_nodes import ROLES, Nodes, four_nodes
from nodes import metric
from raw_http import answer_of, connection, everything, last_problem

from service.connections import MOST_HEAD_BYTES, MOST_WAITING

START = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
ENDED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CHUNKED = b"POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
#: A head without an end, as its beginning and what it goes on with.
ENDLESS = {
    "a field": (START + b"X-Long: ", b"x"),
    "a name": (START, b"x"),
    "fields": (START, b"X-Short: x\r\n"),
    "the URL": (b"GET /", b"x"),
    "a token": (START + b"Authorization: Bearer ", b"x"),
    "empty lines": (b"", b"\r\n"),
}
#: The same of what stands around a body.
AROUND_BODIES = {"trailers": (b"2\r\n{}\r\n0\r\n", b"X-Trailing: x\r\n"), "a chunk's extension": (b"2;", b"x")}


@pytest.fixture(scope="module")
def nodes(toy_folder: Path) -> Iterator[Nodes]:
    """With a token, which none of these requests has."""
    with four_nodes(toy_folder, token="of-the-nodes") as each:
        yield each


def head_of(size_bytes: int) -> bytes:
    """A whole head, filled up to a size."""
    start = START + b"Connection: close\r\nX-Long: "
    return start + b"x" * (size_bytes - len(start) - 4) + b"\r\n\r\n"


def endless(start: bytes, more: bytes, size_bytes: int) -> bytes:
    return (start + more * (size_bytes // len(more) + 1))[:size_bytes]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("what", ENDLESS)
def test_a_head_without_end_is_refused(nodes: Nodes, role: str, what: str) -> None:
    refused = metric(nodes[role], "refused_requests_total", status="431")
    with connection(nodes[role]) as connected:
        connected.sendall(endless(*ENDLESS[what], MOST_HEAD_BYTES))
        assert str(MOST_HEAD_BYTES) in last_problem(everything(connected), 431).detail
    assert metric(nodes[role], "refused_requests_total", status="431") == refused + 1


@pytest.mark.parametrize("what", AROUND_BODIES)
def test_what_stands_around_a_body_is_bounded_too(nodes: Nodes, what: str) -> None:
    """The request itself has been refused, and the connection would go on: what its body says is still read."""
    start, more = AROUND_BODIES[what]
    with connection(nodes["channel"]) as connected:
        connected.sendall(CHUNKED + start)
        assert next_status(connected) == 401
        connected.sendall(endless(b"", more, MOST_HEAD_BYTES))
        last_problem(everything(connected), 431)


def test_megabytes_of_it_are_not_taken(nodes: Nodes) -> None:
    """The node closes in the middle, and what it has said by then may be lost with what it has not read."""
    with connection(nodes["edge"]) as connected, suppress(ConnectionError):
        connected.sendall(endless(*ENDLESS["a field"], 24 * 2**20))
        last_problem(everything(connected), 431)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("size_bytes", [2**15, MOST_HEAD_BYTES])
def test_a_head_that_ends_in_time_is_read(nodes: Nodes, role: str, size_bytes: int) -> None:
    with connection(nodes[role]) as connected:
        connected.sendall(head_of(size_bytes))
        assert answer_of(everything(connected)).status == 200


def test_each_head_of_a_connection_has_as_much(nodes: Nodes) -> None:
    """The same connection, with bodies between: only what ends no head within the limit is refused."""
    body = b"POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
    with connection(nodes["channel"]) as connected:
        for _ in range(3):
            connected.sendall(head_of(2**15).replace(b"Connection: close\r\n", b""))
            assert next_status(connected) == 200
            connected.sendall(body % (2**15, bytes(2**15)))
            assert next_status(connected) == 401
        connected.sendall(head_of(MOST_HEAD_BYTES + 1)[:MOST_HEAD_BYTES])
        last_problem(everything(connected), 431)


@pytest.mark.parametrize("role", ROLES)
def test_few_requests_wait_on_a_connection(nodes: Nodes, role: str) -> None:
    """All at once: the first is begun, of the rest so many wait, and one more ends the connection."""
    one = START + b"\r\n"
    with connection(nodes[role]) as connected:
        connected.sendall(one * (1 + MOST_WAITING))
        assert [next_status(connected) for _ in range(1 + MOST_WAITING)] == [200] * (1 + MOST_WAITING)
        connected.sendall(one * (2 + MOST_WAITING))
        assert str(MOST_WAITING) in last_problem(everything(connected), 429).detail


def next_status(connected: socket.socket) -> int:
    """Of a response whose length its head says."""
    with connected.makefile("rb", buffering=0) as reader:
        status = int(reader.readline().split()[1])
        length = 0
        while line := reader.readline().strip().lower():
            length = int(line.partition(b":")[2]) if line.startswith(b"content-length:") else length
        while length > 0:
            length -= len(reader.read(length) or b"")
    return status
