# SPDX-License-Identifier: Apache-2.0
"""What bounds a request in time at a node's door: it must arrive, and it ends when the node does.

uvicorn waits for bodies for as long as a client likes, and what outlasts the grace of a shutdown it answers with a bare
500, which no caller repeats. Heads, and what is no HTTP at all, are for :mod:`service.connections`.
"""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import NotReady, TooSlow, problem
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
