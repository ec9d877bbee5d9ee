# SPDX-License-Identifier: Apache-2.0
"""What sessions compute, off the event loop: a bounded number at a time, whose passes through networks are stacked."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from models.inference import Inference
from models.threads import compute_with
from service.errors import Busy, PeerTimedOut
from service.hop import Deadline
from service.settings import ComputeSettings
from service.stacking import Limits, PassQueue, StackedInference
from service.telemetry import Metrics

P = ParamSpec("P")
R = TypeVar("R")


class ComputeQueue:
    """Runs functions in threads, first come first served. All their networks run in the lanes of a PassQueue.

    The lanes have ``threads`` cores between them. The functions' threads wait for them and hold little else, so that
    there are as many as can share a pass.
    """

    def __init__(self, settings: ComputeSettings, threads: int, metrics: Metrics) -> None:
        self._max_waiting, self._waiting = settings.max_waiting, 0
        self._executor = ThreadPoolExecutor(settings.stack_rows, "compute", compute_with, (1,))
        limits = Limits(settings.stack_rows, settings.stack_delay_ms / 1000)
        self._passes = PassQueue(limits, threads, metrics)
        self._depth = metrics.gauge("compute_waiting", "Computations that wait or run")
        self._seconds = metrics.histogram("compute_seconds", "Time of one computation, waiting included")

    def stacked(self, inference: Inference) -> StackedInference:
        """Inference whose passes are run here."""
        return StackedInference.over(inference, self._passes)

    def check_room(self) -> None:
        """Asked once a session, before anything of it is computed: what was begun is not turned away in the middle.

        Raises Busy where more than ``max_waiting`` computations run or wait.
        """
        if self._waiting > self._max_waiting:
            raise Busy(f"{self._waiting} computations are waiting", retry_after_s=1)

    async def run(self, deadline: Deadline, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result. Raises PeerTimedOut where its turn comes after the deadline: nobody waits any more."""

        def in_time() -> R:
            if deadline.left_s <= 0:
                raise PeerTimedOut("the deadline passed before the computation's turn came")
            return function(*args, **kwargs)

        self._waiting += 1
        self._depth.set(self._waiting)
        try:
            with self._seconds.time():
                return await asyncio.get_running_loop().run_in_executor(self._executor, in_time)
        finally:
            self._waiting -= 1
            self._depth.set(self._waiting)

    def close(self) -> None:
        """Let what was begun end."""
        self._executor.shutdown(wait=True)
        self._passes.close()
