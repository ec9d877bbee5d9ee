# SPDX-License-Identifier: Apache-2.0
"""How much an edge takes on: asked before a request's body is read, and counted until its reply has ended."""

import re
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.compute import ComputeQueue
from service.errors import Busy, Refusal, problem
from service.node_app import NodeState, refuse_while_draining
from service.nodes.edge.metrics import EdgeMetrics

#: The routes that cost something.
CLASSIFYING: Final = re.compile("/v1/classify(/batch)?")


class Admission:
    """Pure ASGI, because a route is asked when the body has been read, and that costs time and disk.

    A session that waits for the channel computes nothing, so that the queue knows nothing of it: here it counts.
    """

    def __init__(
        self, app: ASGIApp, state: NodeState, queue: ComputeQueue, metrics: EdgeMetrics, max_in_flight: int
    ) -> None:
        self._app, self._state, self._queue, self._metrics = app, state, queue, metrics
        self._max_in_flight, self._in_flight = max_in_flight, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not CLASSIFYING.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            self._check()
        except Refusal as refusal:
            self._metrics.refused(refusal)
            answer = problem(Request(scope), refusal.status, refusal.title, refusal.detail, refusal.headers, {})
            await answer(scope, receive, send)
            return
        self._count(1)
        try:
            await self._app(scope, receive, send)
        finally:
            self._count(-1)

    def _check(self) -> None:
        """Raises NotReady where the node ends, Busy where it is at its limit."""
        refuse_while_draining(self._state)
        self._queue.check_room()
        if self._in_flight >= self._max_in_flight:
            raise Busy(f"{self._in_flight} requests are under way", retry_after_s=1)

    def _count(self, change: int) -> None:
        self._in_flight += change
        self._metrics.in_flight.set(self._in_flight)
