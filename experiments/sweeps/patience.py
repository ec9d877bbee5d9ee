# SPDX-License-Identifier: Apache-2.0
"""Waiting for something that is away: told once when it goes and once when it is back, and not for ever."""

import asyncio
import time
from collections.abc import Callable


class Patience:
    """For one thing, an edge or a store. ``limit_s`` is how long it may be away in one go."""

    def __init__(self, what: str, limit_s: float, notice: Callable[[str], None]) -> None:
        self._what, self._limit_s, self._notice = what, limit_s, notice
        self._since_s: float | None = None
        self._told: set[str] = set()

    @property
    def away(self) -> bool:
        """Whether it is away, as far as is known."""
        return self._since_s is not None

    def tell(self, text: str) -> None:
        """What follows from the outage, once in each."""
        if text not in self._told:
            self._told.add(text)
            self._notice(text)

    async def wait(self, error: Exception, pause_s: float) -> None:
        """Pause after a failure, the first of an outage or another. Raises the error where that takes too long."""
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
            self._notice(f"{error}; waiting for the {self._what}, up to {self._limit_s:g} s")
        left_s = self._since_s + self._limit_s - now_s
        if left_s <= 0:
            raise error
        await asyncio.sleep(min(pause_s, left_s))

    def answered(self) -> None:
        """It is there."""
        if self._since_s is not None:
            self._notice(f"{self._what}: back after {time.monotonic() - self._since_s:.0f} s")
            self._since_s = None
            self._told.clear()
