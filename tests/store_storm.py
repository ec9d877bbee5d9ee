# SPDX-License-Identifier: Apache-2.0
"""Writers and faults in a random order, to find the order nobody thought of."""

import asyncio
import random

from faulty_store import Faulty
from manual_clock import ManualClock

from service.stores import MemoryStore, ResilientStore, Stored

TTL_S = 600.0
FAULT_EVERY_S = 5.0  # at most; a probe is due about as often


class Storm:
    """Writers on two sessions, and faults between them, in an order drawn from `seed`."""

    def __init__(self, node: ResilientStore, primary: Faulty, clock: ManualClock, seed: int) -> None:
        self.node, self.primary, self.clock = node, primary, clock
        self.rng = random.Random(seed)
        self.done: dict[str, list[str]] = {"a": [], "b": []}
        self.unknown: set[str] = set()  # writes whose caller was cancelled

    async def turns(self, most: int) -> None:
        for _ in range(self.rng.randrange(most)):
            await asyncio.sleep(0)

    async def write(self, writer: int) -> None:
        for number in range(60):
            key, name = self.rng.choice("ab"), f"{writer}.{number}"
            before = await self.node.load(key) or Stored(b"", 0)
            await self.turns(3)
            value = before.value + f"{name} ".encode()
            swap = asyncio.create_task(self.node.swap(key, value, expected=before.version or None, ttl_s=TTL_S))
            if self.rng.random() < 0.1:
                await self.turns(4)
                swap.cancel()
            try:
                self.done[key] += [name] if await swap else []
            except asyncio.CancelledError:
                self.unknown.add(name)

    async def break_things(self) -> None:
        primary = self.primary
        for _ in range(60):
            key = self.rng.choice("ab")
            earlier = await MemoryStore.load(primary, key)
            await self.turns(8)
            fault = self.rng.choice(["down", "lose", "back", "back", "forget"])
            primary.down = fault == "down" or (primary.down and fault != "back")
            primary.lose_reply = fault == "lose"
            self.clock.now_s += FAULT_EVERY_S * self.rng.random()
            if fault == "forget" and await MemoryStore.load(primary, key):
                primary.forget(key, self.rng.choice([None, earlier]))
