# SPDX-License-Identifier: Apache-2.0
"""A line of people waiting at one counter, for sweeps: one piece of work at a time, in the order in which they came."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

Work = Callable[[], Coroutine[Any, Any, None]]


class Line:
    """Work by name. ``most`` may wait; the work itself must not fail."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[str, Work] = {}
        self._running: tuple[str, asyncio.Task[None]] | None = None

    def place(self, name: str) -> Literal["running", "waiting"] | None:
        """Where it stands, None where it is not in the line."""
        # Work that has ended stands there for a moment more, until the loop says so.
        if self._running is not None and self._running[0] == name and not self._running[1].done():
            return "running"
        return "waiting" if name in self._waiting else None

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self._most

    def add(self, name: str, work: Work) -> None:
        """Start work as soon as what came before it has ended; nothing happens where it is in the line already."""
        if self.place(name) is None:
            self._waiting[name] = work
            self._next()

    async def stop(self, name: str) -> None:
        """Take it out of the line, or cancel it and wait for its end."""
        self._waiting.pop(name, None)
        if self._running is not None and self._running[0] == name:
            task = self._running[1]
            task.cancel()
            await asyncio.wait({task})

    async def close(self) -> None:
        """Stop everything."""
        self._waiting.clear()
        if self._running is not None:
            await self.stop(self._running[0])

    def _next(self) -> None:
        if self._running is None and self._waiting:
            name = next(iter(self._waiting))
            task = asyncio.create_task(self._waiting.pop(name)())
            self._running = name, task
            task.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._running = None
        self._next()
