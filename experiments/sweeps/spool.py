# SPDX-License-Identifier: Apache-2.0
"""Results on their way to the store: while it is away they wait in memory, so many and no more."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Self, TypeVar

from experiments.sweeps.patience import Patience
from service.stores import StoreUnavailableError
from service.stores.sweeps import SweepStore

T = TypeVar("T")

#: Units, some hundred bytes each: minutes of work, so that a store may be restarted without anything standing still.
DEFAULT_SIZE: Final = 500
_PAUSE_S: Final = 0.5
_LOOK_EVERY_S: Final = 1.0


async def persist(operation: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """Ask the store until it answers. Raises StoreUnavailableError where it is away for too long."""
    while True:
        try:
            answer = await operation()
        except StoreUnavailableError as error:
            await patience.wait(error, _PAUSE_S)
        else:
            patience.answered()
            return answer


class Spool:
    """Writes one sweep's results in the background, in the order in which they came; a context manager.

    ``waiting`` hears how many results wait, and how many may. ``cancelled`` becomes true when somebody has cancelled
    the sweep. Every method raises StoreUnavailableError where the store was away for too long.
    """

    def __init__(
        self, store: SweepStore, sweep: str, size: int, patience: Patience, waiting: Callable[[int, int], None]
    ) -> None:
        self._store, self._sweep, self._patience, self._waiting = store, sweep, patience, waiting
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(size)
        self.cancelled = False
        self._look_at_s = 0.0

    async def __aenter__(self) -> Self:
        await self._look()
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)

    async def put(self, unit: str, result: bytes) -> None:
        """Hand a result over; waits while the spool is full."""
        await self._unless_failed(self._queue.put((unit, result)))
        self._tell()

    async def drain(self) -> None:
        """Wait until everything is in the store."""
        await self._unless_failed(self._queue.join())

    async def _unless_failed(self, step: Awaitable[None]) -> None:
        waiting = asyncio.ensure_future(step)
        try:
            while not waiting.done():
                await asyncio.wait({waiting, self._writer}, timeout=_PAUSE_S, return_when=asyncio.FIRST_COMPLETED)
                if self._writer.done():
                    self._writer.result()
                if self._queue.full() and self._patience.away:
                    self._patience.tell(f"{self._queue.qsize()} results wait for the store: pausing until it is back")
            await waiting
        finally:
            waiting.cancel()  # does nothing to a step that is done

    async def _write(self) -> None:
        while True:
            unit, result = await self._queue.get()
            await persist(partial(self._store.finish, self._sweep, unit, result), self._patience)
            self._queue.task_done()
            self._tell()
            await self._look()

    def _tell(self) -> None:
        self._waiting(self._queue.qsize(), self._queue.maxsize)

    async def _look(self) -> None:
        """Whether the sweep has been cancelled; not at each unit, which would cost as much as writing it."""
        if time.monotonic() >= self._look_at_s:
            stored = await persist(lambda: self._store.sweep(self._sweep), self._patience)
            self.cancelled = stored is not None and stored.cancelled
            self._look_at_s = time.monotonic() + _LOOK_EVERY_S
