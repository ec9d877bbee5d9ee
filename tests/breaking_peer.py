# SPDX-License-Identifier: Apache-2.0
"""A next node whose reply breaks off in one of the ways in which a reply can."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import aiohttp
import pytest
from nodes import PATIENCE_S

from service.broken_replies import ending_with_its_connection

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n\r\n"
_IN_CHUNKS = b"Transfer-Encoding: chunked"
#: How a reply breaks off of which there should be more: what its head says, what stands around its body, what comes
#: later, and whether the connection ends then.
BREAKS = {
    "counted": (b"Content-Length: 500", b"%s", b"", True),
    "in a chunk": (_IN_CHUNKS, b"FF\r\n%s", b"", True),
    "between chunks": (_IN_CHUNKS, b"%x\r\n%s\r\n", b"", True),
    "a length that is none": (_IN_CHUNKS, b"%x\r\n%s\r\n", b"none\r\n", True),
    "a length that is none, and no end": (_IN_CHUNKS, b"%x\r\n%s\r\n", b"none\r\n", False),
    "no end of a chunk": (_IN_CHUNKS, b"%x\r\n%s", b"none\r\n", False),
}


def note_heads(monkeypatch: pytest.MonkeyPatch, arrived: threading.Event | None = None) -> threading.Event:
    """-> what is set whenever a hop of this process has the head of a reply."""
    arrived = arrived or threading.Event()

    def noted(response: aiohttp.ClientResponse) -> AbstractContextManager[None]:
        arrived.set()
        return ending_with_its_connection(response)

    monkeypatch.setattr("service.hop.ending_with_its_connection", noted)
    return arrived


@contextmanager
def breaking_peer(how: str, kind: str, body: bytes, head_arrived: threading.Event) -> Iterator[str]:
    """A node that breaks off each reply; what comes later waits for its head's arrival -> its address."""
    says, around, later, ends = BREAKS[how]
    at_once = _HEAD % (kind.encode(), says) + around % ((len(body), body) if around.startswith(b"%x") else body)

    class Breaking(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(at_once)
            if later:
                assert head_arrived.wait(PATIENCE_S)
                self.wfile.write(later)
            if not ends:
                self.rfile.read()  # until the other side has ended it

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Breaking) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield "http://{}:{}".format(*server.server_address)
        finally:
            server.shutdown()
            thread.join()
