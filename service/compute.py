# SPDX-License-Identifier: Apache-2.0
"""What sessions compute, off the event loop: a bounded number at a time, whose passes through networks are stacked."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from models.inference import Inference
from models.threads import compute_with
from service.errors import Busy
from service.hop import Deadline
from service.settings import ComputeSettings
from service.stacking import Limits, PassQueue, StackedInference
from service.telemetry import Metrics
from service.turns import Turn

P = ParamSpec("P")
R = TypeVar("R")


class ComputeQueue:
    """Runs functions in threads, first come first served. All their networks run in the lanes of a PassQueue.

    The lanes have ``threads`` cores between them. The functions' threads wait for them and hold little else, so that
    there are as many as can share a pass.
    """

    def __init__(self, settings: ComputeSettings, threads: int, metrics: Metrics) -> None:
        self._max_waiting, self._waiting = settings.max_waiting, 0
        self._counting = threading.Lock()
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
        """The function's result.

        Raises PeerTimedOut where its turn, or that of a pass in it, comes after the deadline: nobody waits any more.
        Cancelled, it has its next pass dropped; until then the function has its thread, and counts.
        """
        turn = Turn(deadline)

        def in_time() -> R:
            turn.check()
            with turn.taken():
                return function(*args, **kwargs)

        with self._seconds.time():
            computing = self._executor.submit(in_time)
            self._count(1)
            computing.add_done_callback(lambda _: self._count(-1))
            try:
                return await asyncio.wrap_future(computing)
            except asyncio.CancelledError:
                turn.given_up = True
                raise

    def _count(self, change: int) -> None:
        with self._counting:
            self._waiting += change
            self._depth.set(self._waiting)

    def close(self) -> None:
        """Let what was begun end."""
        self._executor.shutdown(wait=True)
        self._passes.close()
