# SPDX-License-Identifier: Apache-2.0
"""One computation at a time, off the event loop, with a bounded queue before it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from service.errors import Busy
from service.telemetry import Metrics

P = ParamSpec("P")
R = TypeVar("R")


class ComputeQueue:
    """Runs functions in one thread, first come first served; PyTorch itself uses several cores for each."""

    def __init__(self, max_waiting: int, metrics: Metrics) -> None:
        self._max_waiting, self._waiting = max_waiting, 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._depth = metrics.gauge("compute_waiting", "Computations that wait or run")
        self._seconds = metrics.histogram("compute_seconds", "Time of one computation, waiting included")

    def check_room(self) -> None:
        """Asked once a session, before anything of it is computed: what was begun is not turned away in the middle.

        Raises Busy where one computation runs and ``max_waiting`` wait.
        """
        if self._waiting > self._max_waiting:
            raise Busy(f"{self._waiting} computations are waiting", retry_after_s=1)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result."""
        self._waiting += 1
        self._depth.set(self._waiting)
        try:
            with self._seconds.time():
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        finally:
            self._waiting -= 1
            self._depth.set(self._waiting)

    def close(self) -> None:
        self._executor.shutdown(wait=True)
