# SPDX-License-Identifier: Apache-2.0
"""A classification as server-sent events: its start, each round as it ends, at last the result or a problem.

The framing is FastAPI's. Its generator routes are not used: they stream whatever the caller prefers, and have answered
200 before the route can refuse anything.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from fastapi import Request
from fastapi.sse import EventSourceResponse, format_sse_event

from service.accept import prefers
from service.errors import problem_event
from service.nodes.edge.harq import BlockProgress, OnRound
from service.wire import EVENT_STREAM, EVENTS, Classification, Event, Problem, Start

#: A session that is run, and tells of its rounds meanwhile.
Work = Callable[[OnRound], Awaitable[Classification]]

#: Silence after which a comment is sent: proxies close a connection that seems idle, and a round may take a minute.
HEARTBEAT_S: Final = 10.0
_HEARTBEAT: Final = format_sse_event(comment="waiting")
#: A proxy must neither keep the stream nor hold it back until it is whole.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def wants_events(request: Request) -> bool:
    """Whether the caller would rather have events than JSON, which is what it gets unless it says so."""
    return prefers(", ".join(request.headers.getlist("Accept")), EVENT_STREAM, "application/json")


def stream(request: Request, start: Start, work: Work) -> EventSourceResponse:
    """The response that does the work while it is being sent; a caller that goes away ends it."""
    return EventSourceResponse(_frames(request, start, work), headers=_HEADERS)


def frame(number: int, event: Event) -> bytes:
    """One event on the wire, numbered so that a reader sees what it has missed."""
    name = next(name for name, kind in EVENTS.items() if isinstance(event, kind))
    return format_sse_event(event=name, data_str=event.model_dump_json(), id=str(number))


async def _frames(request: Request, start: Start, work: Work) -> AsyncIterator[bytes]:
    """Every event as it happens, from number 0 on, and comments where nothing happens."""
    events: asyncio.Queue[Event] = asyncio.Queue()
    events.put_nowait(start)
    number, event = 0, None
    # A task of its own, for the heartbeat must not interrupt it.
    task = asyncio.create_task(_work(request, work, events))
    try:
        while not isinstance(event, Classification | Problem):
            event = await _next(events)
            if event is None:
                yield _HEARTBEAT
            else:
                yield frame(number, event)
                number += 1
    finally:
        task.cancel()


async def _next(events: "asyncio.Queue[Event]") -> Event | None:
    """The next event; None where it takes long."""
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            return await events.get()
    except TimeoutError:
        return None


async def _work(request: Request, work: Work, events: "asyncio.Queue[Event]") -> None:
    """Put every round of one image's session into the queue, then how it ended."""

    def on_round(blocks: Sequence[BlockProgress]) -> None:
        events.put_nowait(blocks[0].rounds[-1])

    try:
        events.put_nowait(await work(on_round))
    except Exception as error:
        events.put_nowait(problem_event(request, error))
