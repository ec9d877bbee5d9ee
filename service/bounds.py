# SPDX-License-Identifier: Apache-2.0
"""What bounds a request in time at a node's door: it must arrive, and it ends when the node does.

uvicorn waits for heads and bodies for as long as a client likes, and what outlasts the grace of a shutdown it answers
with a bare 500, which no caller repeats. What is no HTTP at all, and comes no further, is answered with a problem too.
"""

import asyncio
from typing import Final
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.browsers import DEFAULT_HEADERS
from service.errors import MEDIA_TYPE, NotReady, TooSlow, problem, unreadable_request
from service.wire import REQUEST_ID

_CLOSE: Final = {"Connection": "close"}


class TimeBounds:
    """Pure ASGI, around a whole node: 408 for a body that is not there in time, 503 where the node ends first.

    ``receive_s`` counts from the end of the request's head.
    """

    def __init__(self, app: ASGIApp, receive_s: float) -> None:
        self._app, self._receive_s = app, receive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, self._in_time(receive), noted)
        except asyncio.CancelledError:  # by the server, which has waited for as long as it may
            if answered:
                raise
            headers = {**_CLOSE, "Retry-After": "1", REQUEST_ID: scope["spikelink.request_id"]}
            detail = "the node has ended before the request did: repeat it"
            await problem(Request(scope), NotReady.status, NotReady.title, detail, headers, {})(scope, receive, send)

    def _in_time(self, receive: Receive) -> Receive:
        """The same until the body is whole; from then on a caller is waited for, to see whether it leaves."""
        due_s, whole = asyncio.get_running_loop().time() + self._receive_s, False

        async def received() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(due_s):
                    message = await receive()
            except TimeoutError:
                # The framework's own class: FastAPI makes a 400 of any other while it reads a body.
                detail = f"the body was not there within {self._receive_s:g} s"
                raise HTTPException(TooSlow.status, detail, _CLOSE) from None
            whole = not message.get("more_body", False)
            return message

        return received


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
        head = {"Content-Type": MEDIA_TYPE, REQUEST_ID: body.request_id or "", **DEFAULT_HEADERS, **_CLOSE}
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
