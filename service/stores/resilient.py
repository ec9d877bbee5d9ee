# SPDX-License-Identifier: Apache-2.0
"""Keeps sessions going while their store is away: in memory, and back into the store when it returns.

How two stores stay one truth. Every write gets a version that no other write has (a random step up), so an equal
version means the same record, wherever it lies. Memory keeps, beside each record that this node wrote, the versions
it grew from (its *line*). When node and store differ, the rule is git's fast-forward:

* the store's version is in our line, or the store has lost the record: ours is newer and is written over it by
  compare-and-set;
* otherwise another node went on while we could not see it: the store wins and our branch is dropped, with a warning.

So a write whose reply was lost is recognised as our own, and the branches of two nodes that were apart never mix.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from weakref import WeakValueDictionary

from service.stores.memory import Entry, MemoryStore
from service.stores.protocol import SessionStore, Stored, StoreUnavailableError, Swap

_LINE = 256  # ancestors remembered per record; a session is written some ten times

log = logging.getLogger(__name__)


class ResilientStore:
    """A primary store with memory to fall back on; itself a `SessionStore` that is never unreachable.

    While the primary is down, the sessions this node wrote last, and new ones, live in memory (`limit` of them, then
    `StoreUnavailableError`); a session that only other nodes wrote is unknown. One call in `probe_s` seconds asks
    whether the primary is back; from then on a session is written back when it is next touched, and until then `count`
    leaves it out. Versions grow by more than one: take the new one from `Swap.version`. `clock` is in seconds.
    """

    def __init__(
        self,
        primary: SessionStore,
        *,
        limit: int = 4096,
        probe_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self._memory = MemoryStore(limit=limit, clock=clock)
        self._clock = clock
        self._probe_s = probe_s
        self._up = True
        self._probe_at_s = 0.0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def name(self) -> str:
        return self._primary.name

    @property
    def durable(self) -> bool:
        """False while sessions are kept in memory."""
        return self._up and self._primary.durable

    async def open(self) -> None:
        """Connect; if that fails, start in memory."""
        try:
            await self._primary.open()
        except StoreUnavailableError as error:
            self._lost(error)

    async def load(self, key: str) -> Stored | None:
        async with self._lock(key):
            if await self._reach():
                try:
                    return await self._reconcile(key)
                except StoreUnavailableError as error:
                    self._lost(error)
            return await self._memory.load(key)

    async def swap(
        self, key: str, value: bytes, *, expected: int | None, ttl_s: float, version: int | None = None
    ) -> Swap:
        """As the protocol says; `durable` tells whether this very write reached the primary."""
        async with self._lock(key):
            ours = self._memory.get(key)
            if ours is not None and expected in (None, *ours.line):
                return Swap(False, self.durable)  # a late caller; it must not meet a primary that is still behind
            in_step = (ours.stored.version if ours else None) == expected
            if version is None:
                version = (expected or 0) + 1 + secrets.randbelow(2**32)
            new = Entry(Stored(value, version), self._clock() + ttl_s, line=_line(ours if in_step else None, expected))
            if await self._reach():
                try:
                    return await self._swap_primary(key, new, expected, ttl_s)
                except StoreUnavailableError as error:
                    self._lost(error)  # done or not, nobody knows; from here on it is done, and known as ours
                except asyncio.CancelledError:
                    if in_step:
                        self._keep(key, new)
                    raise
            if not in_step:
                return Swap(False)
            self._memory.put(key, new)
            return Swap(True, version=version)

    async def count(self) -> int:
        if await self._reach():
            try:
                return await self._primary.count()
            except StoreUnavailableError as error:
                self._lost(error)
        return await self._memory.count()

    async def ping(self) -> None:
        """Learn how the primary is, for `durable`; never raises, because memory answers."""
        if await self._reach():
            try:
                await self._primary.ping()
            except StoreUnavailableError as error:
                self._lost(error)

    async def close(self) -> None:
        await self._primary.close()
        await self._memory.close()

    async def _swap_primary(self, key: str, new: Entry, expected: int | None, ttl_s: float) -> Swap:
        async def attempt() -> Swap:
            stored = new.stored
            return await self._primary.swap(key, stored.value, expected=expected, ttl_s=ttl_s, version=stored.version)

        swap = await attempt()
        if not swap:
            # Either the race is lost, or the primary is behind this node and catches up now.
            current = await self._reconcile(key)
            if current is not None and current.version == expected:
                swap = await attempt()
        if swap:
            self._keep(key, replace(new, copy=True))
        return swap

    async def _reconcile(self, key: str) -> Stored | None:
        """The record that holds, in the primary and in memory alike when this returns."""
        theirs = await self._primary.load(key)
        ours = self._memory.get(key)
        if ours is None:
            return theirs
        while theirs is None or theirs.version in ours.line:
            written = await self._write_back(key, ours, theirs)
            theirs = ours.stored if written else await self._primary.load(key)  # else: another node was faster
        self._follow(key, ours, theirs)
        return theirs

    async def _write_back(self, key: str, ours: Entry, theirs: Stored | None) -> Swap:
        stored = ours.stored
        return await self._primary.swap(
            key,
            stored.value,
            expected=theirs.version if theirs else None,
            ttl_s=ours.expires_s - self._clock(),
            version=stored.version,
        )

    def _follow(self, key: str, ours: Entry, theirs: Stored) -> None:
        """Make memory a copy of what the primary holds."""
        if theirs.version == ours.stored.version:
            self._keep(key, replace(ours, copy=True))
            return
        if not ours.copy:
            log.warning("session %s: another node went on during the outage; this node's rounds are dropped", key)
        self._keep(key, Entry(theirs, ours.expires_s, copy=True))

    def _keep(self, key: str, entry: Entry) -> None:
        with suppress(StoreUnavailableError):  # memory is full of sessions that need it more
            self._memory.put(key, entry)

    def _lock(self, key: str) -> asyncio.Lock:
        """One caller per session and node at a time; the entry goes when the last one has left."""
        return self._locks.setdefault(key, asyncio.Lock())

    async def _reach(self) -> bool:
        """Whether to ask the primary. While it is down, the first caller after `probe_s` finds out for all."""
        if not self._up and self._clock() >= self._probe_at_s:
            self._probe_at_s = self._clock() + self._probe_s  # before waiting, so that nobody else waits
            try:
                await self._primary.open()
            except StoreUnavailableError:
                self._probe_at_s = self._clock() + self._probe_s
                return False
            log.warning("store %s: back", self.name)
            self._up = True
        return self._up

    def _lost(self, error: StoreUnavailableError) -> None:
        if self._up:
            log.warning("store %s: unavailable, sessions stay in memory: %s", self.name, error)
        self._up = False
        self._probe_at_s = self._clock() + self._probe_s


def _line(parent: Entry | None, expected: int | None) -> tuple[int, ...]:
    """The ancestors of a record that replaces `expected`; those of `parent` too where it is what memory holds."""
    known = parent.line if parent else ()
    return known if expected is None else (*known, expected)[-_LINE:]
