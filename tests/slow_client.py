# SPDX-License-Identifier: Apache-2.0
"""Clients that send one byte a second."""

import select
import socket
import time
from collections.abc import Sequence
from typing import Final

from nodes import PATIENCE_S

_PACE_S: Final = 1.0


def body_head(path: str, media_type: str) -> bytes:
    """The head of a request whose body is 100 bytes long."""
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {media_type}", "Content-Length: 100")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class Trickle:
    """Sends ``at_once`` at once, and the rest with :func:`trickle`. ``ended_s`` is when the node closed, 0 before."""

    def __init__(self, url: str, at_once: bytes, slowly: bytes) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.connection = socket.create_connection((host, int(port)))
        self._began_s, self._left = time.monotonic(), slowly
        self.received, self.ended_s = b"", 0.0
        self.connection.sendall(at_once)

    def fileno(self) -> int:
        return self.connection.fileno()

    def hears(self) -> bool:
        """Whether something has come."""
        return bool(select.select([self], [], [], 0)[0])

    def listen(self) -> None:
        """Take what has come; where that is the end of the connection, close it."""
        try:
            content = self.connection.recv(65536)
        except ConnectionResetError:
            content = b""
        self.received += content
        if not content:
            self.ended_s = time.monotonic() - self._began_s
            self.connection.close()

    def send_byte(self) -> None:
        if self._left and not self.ended_s:
            try:
                self.connection.sendall(self._left[:1])
            except (BrokenPipeError, ConnectionResetError):
                return  # told by the next recv
            self._left = self._left[1:]


def trickle(clients: Sequence[Trickle]) -> None:
    """Send on, a byte a second each, until the node has closed every connection; fails the test where it does not."""
    give_up_s = time.monotonic() + PATIENCE_S
    while open_ones := [client for client in clients if not client.ended_s]:
        assert time.monotonic() < give_up_s, f"{len(open_ones)} connections are still open after {PATIENCE_S:g} s"
        for client in open_ones:
            client.send_byte()
        next_s = time.monotonic() + _PACE_S
        while (left_s := next_s - time.monotonic()) > 0:
            listening = [client for client in clients if not client.ended_s]
            for client in select.select(listening, [], [], left_s)[0] if listening else []:
                client.listen()
            if not listening:
                return
