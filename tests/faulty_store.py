# SPDX-License-Identifier: Apache-2.0
"""A primary store whose faults a test chooses."""

import asyncio
from dataclasses import replace

from manual_clock import ManualClock

from service.stores import MemoryStore, Stored, StoreUnavailableError, Swap


class Faulty(MemoryStore):
    """A primary that can be down, or keep the reply to a write that it has done: fail instead, or never answer."""

    durable = True

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.down = False
        self.lose_reply = False
        self.never_reply = False
        self.asked = 0

    async def open(self) -> None:
        await self._answer()

    async def ping(self) -> None:
        await self._answer()

    async def load(self, key: str) -> Stored | None:
        await self._answer()
        return await super().load(key)

    async def count(self) -> int:
        await self._answer()
        return await super().count()

    async def swap(
        self, key: str, value: bytes, *, expected: int | None, ttl_s: float, version: int | None = None
    ) -> Swap:
        await self._answer()
        swap = await super().swap(key, value, expected=expected, ttl_s=ttl_s, version=version)
        if self.never_reply:
            await asyncio.Event().wait()
        if self.lose_reply:
            self.lose_reply, self.down = False, True
            raise StoreUnavailableError("no answer")
        return Swap(swap.done, True, swap.version)

    def forget(self, key: str, earlier: Stored | None = None) -> None:
        """Lose the record, or all of it since `earlier`, as a crash may."""
        entry = self._entries.pop(key)
        if earlier is not None:
            self._entries[key] = replace(entry, stored=earlier)

    async def _answer(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)  # another caller's turn, as over a network
        if self.down:
            raise StoreUnavailableError("down")
