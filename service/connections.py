# SPDX-License-Identifier: Apache-2.0
"""What bounds a connection to a node before there is a request: uvicorn waits for a head for as long as a client likes.

What is no HTTP at all, and comes no further, is answered with a problem.
"""

import asyncio
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.browsers import DEFAULT_HEADERS
from service.errors import MEDIA_TYPE, unreadable_request
from service.wire import REQUEST_ID


class _BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a limit on how long a head may take.

    Time runs from the connection on, later from the first byte after a response: what is silent then is idle, and
    uvicorn's keep-alive has its own time for it.
    """

    head_s: float
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._due is None and self.cycle is not None and self.cycle.response_complete:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._rest()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what its parser cannot read, as a problem; the connection ends with it."""
        body = unreadable_request(uuid4().hex)
        head = {"Content-Type": MEDIA_TYPE, REQUEST_ID: body.request_id or "", **DEFAULT_HEADERS, "Connection": "close"}
        content = body.model_dump_json().encode()
        lines = [f"{name}: {value}\r\n" for name, value in (*head.items(), ("Content-Length", len(content)))]
        self.transport.write("".join(("HTTP/1.1 400 Bad Request\r\n", *lines, "\r\n")).encode() + content)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._due = self.loop.call_later(self.head_s, self.transport.close)

    def _rest(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def bounded_protocol(receive_s: float) -> type[HttpToolsProtocol]:
    """uvicorn's HTTP/1.1, which closes a connection whose next head takes longer than this."""

    class BoundedProtocol(_BoundedProtocol):
        head_s = receive_s

    return BoundedProtocol
