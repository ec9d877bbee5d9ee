# SPDX-License-Identifier: Apache-2.0
"""What bounds a connection to a node before there is a request: heads that take too long, or too much, end it.

uvicorn waits for a head for as long as a client likes, and reads one of any size. What comes no further is answered
with a problem, logged and counted here.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import structlog
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.browsers import DEFAULT_HEADERS
from service.errors import MEDIA_TYPE, HeadTooLarge, NoRequest, Refusal, document_of
from service.wire import REQUEST_ID

#: A head ends within so many bytes, and so does all else that is no body: trailers and what a chunk says beside its
#: length. The parser puts each field together anew with every piece that arrives: that takes the square of its length.
MOST_HEAD_BYTES: Final = 65536
_log = logging.getLogger("spikelink")


class _BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a limit on how long a head may take, and on how long it may be.

    Time runs from the connection on, later from the first byte after a response: what is silent then is idle, and
    uvicorn's keep-alive has its own time for it.
    """

    head_s: float
    refused: Counter
    _due: asyncio.TimerHandle | None = None
    #: Since the last that was of a body, or ended a head.
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self.transport.is_closing():
            piece = data[at : at + MOST_HEAD_BYTES - self._head_bytes]
            at += len(piece)
            self._head_bytes += len(piece)
            super().data_received(piece)
            if self._head_bytes >= MOST_HEAD_BYTES:
                self._refuse(HeadTooLarge(f"a request's head ends within {MOST_HEAD_BYTES} bytes"))
        if self._due is None and self.cycle is not None and self.cycle.response_complete:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._rest()
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """In the place of uvicorn's answer to what its parser cannot read."""
        self._refuse(NoRequest("what arrived is no HTTP/1.1 request"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a problem, unless an answer is under way, and end the connection; once."""
        if self.transport.is_closing():
            return
        request_id = uuid4().hex
        self.refused.labels(str(refusal.status)).inc()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            client = self.client[0] if self.client else "unknown"
            _log.info("request", extra={"status": refusal.status, "client": client})
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_answer(refusal, request_id))
        self.transport.close()

    def _expect_head(self) -> None:
        self._due = self.loop.call_later(self.head_s, self.transport.close)

    def _rest(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def _answer(refusal: Refusal, request_id: str) -> bytes:
    """A whole response, to the byte."""
    content = document_of(refusal, request_id).model_dump_json().encode()
    own = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(content)), REQUEST_ID: request_id}
    headers = {**own, **DEFAULT_HEADERS, "Connection": "close"}
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "\r\n")).encode() + content


def bounded_protocol(receive_s: float, refused_requests: Counter) -> type[HttpToolsProtocol]:
    """uvicorn's HTTP/1.1, with a limit of seconds on each head; what it refuses is counted."""

    class BoundedProtocol(_BoundedProtocol):
        head_s = receive_s
        refused = refused_requests

    return BoundedProtocol
