# SPDX-License-Identifier: Apache-2.0
"""A server that takes requests and never answers them, and knows who has left."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass
class Silent:
    """Connections on which something was asked, and how many of them have ended."""

    url: str
    asked: int = 0
    left: int = 0


@contextmanager
def silent_server(begun: bytes = b"") -> Iterator[Silent]:
    """On a free port; ``begun`` is all that it ever says to a request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Silent("http://{}:{}".format(*listener.getsockname()))
        accepting = threading.Thread(target=_accept, args=(listener, server, begun), name="accepting")
        accepting.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, server: Silent, begun: bytes) -> None:
    counting, opened = threading.Lock(), list[socket.socket]()

    def hear(connection: socket.socket) -> None:
        with suppress(OSError):
            while not connection.recv(65_536).partition(b"\r\n\r\n")[1]:
                pass
            connection.sendall(begun)
            with counting:
                server.asked += 1
            while connection.recv(65_536):
                pass
        with counting:
            server.left += 1

    hearing = list[threading.Thread]()
    with suppress(OSError):
        while True:
            opened.append(listener.accept()[0])
            hearing.append(threading.Thread(target=hear, args=(opened[-1],), name="hearing"))
            hearing[-1].start()
    for connection in opened:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    for thread in hearing:
        thread.join()
    for connection in opened:
        connection.close()
