# SPDX-License-Identifier: Apache-2.0
"""Closing a client ends what is under way on other threads, and the server hears of it at once. Real sockets."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from nodes import until
from silent_server import silent_server

from client import Client, NodeUnreachableError
from client.connections import Connections

PNG = b"\x89PNG\r\n\x1a\n"
BEGUN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n: still here\n\r\n"
)
#: What is given up at once takes milliseconds; the answer that never comes would be waited for ten minutes.
AT_ONCE_S, TIMEOUT_S = 2.0, 600.0


def whole(client: Client) -> object:
    return client.classify(PNG)


def by_events(client: Client) -> object:
    return list(client.stream(PNG))


@pytest.mark.parametrize("begun", [b"", BEGUN], ids=["nothing", "begun"])
@pytest.mark.parametrize("ask", [whole, by_events])
def test_a_request_under_way_ends_when_the_client_is_closed(ask: Callable[[Client], object], begun: bytes) -> None:
    with silent_server(begun) as server, ThreadPoolExecutor(3) as threads:
        client = Client(server.url, timeout_s=TIMEOUT_S)
        try:
            asking = [threads.submit(ask, client) for _ in range(3)]
            until(lambda: server.asked == 3, "the requests")
            assert server.left == 0
        finally:
            client.close()
        until(lambda: server.left == 3, "the server hears of it", AT_ONCE_S)
        for each in asking:
            with pytest.raises(NodeUnreachableError, match="was closed here before the answer came"):
                each.result(AT_ONCE_S)


class Made:
    """A stream of httpx2's, as far as its socket goes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self._connection


def test_a_connection_that_is_made_after_the_end_ends_too() -> None:
    connections, (ours, theirs) = Connections(), socket.socketpair()
    with ours, theirs:
        theirs.settimeout(AT_ONCE_S)
        connections.shut_down()
        connections.trace("connection.connect_tcp.started", {})
        connections.trace("connection.connect_tcp.complete", {"return_value": Made(ours)})
        assert theirs.recv(1) == b""
    connections.shut_down()  # nothing happens to what is closed already
