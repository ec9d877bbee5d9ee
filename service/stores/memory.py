# SPDX-License-Identifier: Apache-2.0
"""Sessions in a bounded dictionary: for tests, for one process alone, and under `ResilientStore` during an outage."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.stores.protocol import Stored, StoreUnavailableError, Swap, next_version

_PURGE_EVERY_S = 30.0


@dataclass(frozen=True)
class Entry:
    """A record in memory. `copy`: another store holds it too, so it may be evicted. `line`: versions it grew from."""

    stored: Stored
    expires_s: float
    copy: bool = False
    line: tuple[int, ...] = ()


class MemoryStore:
    """At most `limit` records. Room for a new one is made from expired records, then from the oldest copies.

    A live session that is no copy is never evicted: the new one gets `StoreUnavailableError` instead, because a
    refused session can start elsewhere and a forgotten one has lost its transmissions. `clock` is in seconds.
    """

    name = "memory"
    durable = False

    def __init__(self, *, limit: int = 4096, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._entries: dict[str, Entry] = {}  # the least recently written first
        self._purge_at_s = 0.0

    async def open(self) -> None:
        """Nothing to connect to."""

    async def load(self, key: str) -> Stored | None:
        entry = self.get(key)
        return entry.stored if entry else None

    async def swap(
        self, key: str, value: bytes, *, expected: int | None, ttl_s: float, version: int | None = None
    ) -> Swap:
        entry = self.get(key)
        if (entry.stored.version if entry else None) != expected:
            return Swap(False)
        stored = Stored(value, next_version(expected, version))
        self.put(key, Entry(stored, self._clock() + ttl_s))
        return Swap(True, version=stored.version)

    async def count(self) -> int:
        self._purge()
        return len(self._entries)

    async def ping(self) -> None:
        """Memory always answers."""

    async def close(self) -> None:
        self._entries.clear()

    def get(self, key: str) -> Entry | None:
        """The live entry, or None."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.expires_s > self._clock() else None

    def put(self, key: str, entry: Entry) -> None:
        """Set an entry whatever was there before; `StoreUnavailableError` if it is new and there is no room."""
        # Not only when it is full: a record of 256 blocks has 40 kB, and the limit is thousands of them.
        if self._clock() >= self._purge_at_s:
            self._purge()
        if key not in self._entries and len(self._entries) >= self._limit:
            self._make_room()
        self._entries.pop(key, None)
        self._entries[key] = entry

    def _make_room(self) -> None:
        self._purge()
        if len(self._entries) < self._limit:
            return
        oldest_copy = next((key for key, entry in self._entries.items() if entry.copy), None)
        if oldest_copy is None:
            raise StoreUnavailableError(f"memory store: full with {self._limit} live sessions")
        del self._entries[oldest_copy]

    def _purge(self) -> None:
        now_s = self._clock()
        self._purge_at_s = now_s + _PURGE_EVERY_S
        for key in [key for key, entry in self._entries.items() if entry.expires_s <= now_s]:
            del self._entries[key]
