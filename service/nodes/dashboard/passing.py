# SPDX-License-Identifier: Apache-2.0
"""A request passed on to another node, its events sent on as they come, and given up when the browser has left."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Final

from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.broken_replies import HANDED_ON
from service.errors import PeerFailed, PeerTimedOut, problem_event
from service.hop import Call, Deadline, Flow, Hop
from service.leaving import unless_left
from service.wire import EVENT_STREAM

#: What ends an event, as all nodes frame them.
_EVENT_END: Final = b"\n\n"
_log = logging.getLogger("spikelink")


def call_of(request: Request, body: bytes) -> Call:
    """The same request, to be sent elsewhere: path, query, body, and the headers that describe them."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    headers = {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}
    return Call(path, body, headers, request.scope["spikelink.request_id"])


class PassedOn(Response):
    """The answer to ``call`` at ``hop``: events one by one, all else once it is whole.

    Raises PeerFailed and PeerTimedOut where there is none; a stream that breaks off ends with a problem instead.
    """

    def __init__(self, hop: Hop, call: Call, patience_s: float) -> None:
        self._hop, self._call, self._patience_s = hop, call, patience_s
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            await unless_left(receive, self._forward(Request(scope), send))

    async def _forward(self, request: Request, send: Send) -> None:
        streaming, last = False, b""
        try:
            async with self._hop.flow(self._call, Deadline.after(self._patience_s)) as flow:
                head = {"type": "http.response.start", "status": flow.status, "headers": _kept(flow.headers)}
                streaming = flow.headers.get("Content-Type", "").startswith(EVENT_STREAM)
                if streaming:
                    await send(head)
                    await _send_events(flow, send)
                else:  # whole before its status goes out, or what breaks off could not be called a failure
                    last = b"".join([chunk async for chunk in flow.chunks])
                    await send(head)
        except (PeerFailed, PeerTimedOut) as error:
            if not streaming:
                raise
            # The status line is out: what went wrong becomes the last event.
            _log.warning("events broke off: %s", error.detail)
            last = format_sse_event(event="problem", data_str=problem_event(request, error).model_dump_json())
        await send({"type": "http.response.body", "body": last, "more_body": False})


async def _send_events(flow: Flow, send: Send) -> None:
    """Every event as it becomes whole; of one that breaks off, nothing."""
    async for events in _whole_events(flow.chunks):
        await send({"type": "http.response.body", "body": events, "more_body": True})


async def _whole_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        events, end, rest = (rest + chunk).rpartition(_EVENT_END)
        if end:
            yield events + end


def _kept(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    kept = [(name, headers[name]) for name in HANDED_ON if name in headers]
    # A proxy that collects a stream before it hands it on would undo it.
    return [(name.lower().encode(), value.encode()) for name, value in (*kept, ("X-Accel-Buffering", "no"))]
