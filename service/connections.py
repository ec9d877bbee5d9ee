# SPDX-License-Identifier: Apache-2.0
"""What bounds a connection to a node around its requests: heads that take too long, or too much, and replies not taken.

uvicorn waits for a head for as long as a client likes, reads one of any size, and waits until all that it has to say is
taken. What comes no further is answered with a problem, logged and counted here.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import structlog
from prometheus_client import Counter
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.browsers import DEFAULT_HEADERS
from service.errors import MEDIA_TYPE, Busy, HeadTooLarge, NoRequest, Refusal, document_of
from service.wire import REQUEST_ID

#: A head ends within so many bytes, and so does all else that is no body: trailers and what a chunk says beside its
#: length. The parser puts each field together anew with every piece that arrives: that takes the square of its length.
MOST_HEAD_BYTES: Final = 65536
#: Requests that may wait on a connection for the answer to an earlier one (pipelining). uvicorn reads on after each
#: answer, however many wait: of small requests, thousands with every piece that arrives.
MOST_WAITING: Final = 16
_log = logging.getLogger("spikelink")


class _BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits: on a head's time and size, and on the time that a client leaves replies unread.

    A head's time runs from the connection on, later from the first byte after a response: what is silent then is idle,
    and uvicorn's keep-alive has its own time for it. A reply's runs while the transport asks to send no more, for as
    long as it does, and from when a connection is closed that has still something to say.
    """

    patience_s: float
    refused: Counter
    _due: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None
    #: The request that is answered now; uvicorn's own ``cycle`` is the latest, which may have to wait for it.
    _answered: RequestResponseCycle | None = None
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
        if len(self.pipeline) >= MOST_WAITING:
            self._refuse(Busy(f"{MOST_WAITING} requests wait on this connection"))
            raise ConnectionAbortedError("or the parser would go on with what is left of the piece")
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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._forget_reader()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reader()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._expect_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        self._forget_reader()
        super().connection_lost(exc)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a problem, unless an answer is under way, and end the connection; once."""
        if self.transport.is_closing():
            return
        request_id = uuid4().hex
        self.refused.labels(str(refusal.status)).inc()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            _log.info("request", extra={"status": refusal.status, "client": self._address()})
        answered = self._answered
        if answered is None or answered.response_complete or not answered.response_started:
            self.transport.write(_answer(refusal, request_id))
        self._close()

    def _close(self) -> None:
        """The transport closes once all is sent; until then it waits."""
        self.transport.close()
        self._expect_reader()

    def _expect_head(self) -> None:
        self._due = self.loop.call_later(self.patience_s, self._close)

    def _expect_reader(self) -> None:
        if self._untaken is None:
            self._untaken = self.loop.call_later(self.patience_s, self._give_up_reader)

    def _give_up_reader(self) -> None:
        """To the application it is a caller that has left."""
        _log.info("a client took no reply", extra={"client": self._address()})
        self.transport.abort()

    def _forget_reader(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _address(self) -> str:
        return self.client[0] if self.client else "unknown"

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
    """uvicorn's HTTP/1.1, with a limit of seconds on each head and on each reply; what it refuses is counted."""

    class BoundedProtocol(_BoundedProtocol):
        patience_s = receive_s
        refused = refused_requests

    return BoundedProtocol
