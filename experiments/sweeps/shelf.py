# SPDX-License-Identifier: Apache-2.0
"""All sweeps of a store, looked at again and again: each look reads what is new, and nothing of what is complete."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from client import Point
from experiments.sweeps.pace import Pace, Speed
from experiments.sweeps.record import Record
from experiments.sweeps.reports import points_of
from experiments.sweeps.spec import SpecError
from experiments.sweeps.stored import Reader
from experiments.sweeps.tally import SweepTally
from service.stores import StoreUnavailableError
from service.stores.sweeps import StoredSweep, SweepStore

#: A unit takes seconds: what has not grown for as long is not being computed.
LATELY_S: Final = 15.0
_log = logging.getLogger("spikelink")


@dataclass
class Kept:
    """A sweep as it was at the last look, in the clock's seconds; ``grown_s`` is when it was last seen to grow."""

    reader: Reader
    looked_s: float | None = None
    grown_s: float | None = None
    cancelled: bool = False
    points: tuple[Point, ...] = ()
    pace: Pace = field(default_factory=Pace)

    @property
    def tally(self) -> SweepTally:
        return self.reader.tally

    @property
    def speed(self) -> Speed | None:
        """As it was seen to grow; None where it was not, or only once."""
        return self.pace.speed(self.tally.units_total - self.tally.units_done)

    def grew(self, now_s: float) -> None:
        """It did between the last look and now."""
        if not _within(self.grown_s, now_s):
            self.pace = Pace()  # the time that it stood still is not its pace
        # What grew between two looks that are further apart may have ended long ago.
        if _within(self.looked_s, now_s):
            self.grown_s = now_s
            self.pace.see(now_s, self.tally.units_done, self.tally.images_done)


class Shelf:
    """Not for two callers at once."""

    def __init__(self, store: SweepStore, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._kept: dict[str, Kept] = {}
        self._unreadable: set[str] = set()

    async def look(self) -> list[Kept]:
        """All that this version can read, the oldest first. Raises StoreUnavailableError."""
        try:
            stored = await self._store.sweeps()
            found = [await self._take_up(sweep) for sweep in stored]
        except StoreUnavailableError:
            self._kept.clear()  # a server that comes back may have lost what it had said before
            raise
        for gone in self._kept.keys() - {sweep.id for sweep in stored}:
            del self._kept[gone]
        return [kept for kept in found if kept is not None]

    async def find(self, sweep: str) -> Kept | None:
        """One of them, None where there is none of that id. Raises StoreUnavailableError."""
        stored = await self._store.sweep(sweep)
        return None if stored is None else await self._take_up(stored)

    def forget(self, sweep: str) -> None:
        """Read it from its beginning at the next look."""
        self._kept.pop(sweep, None)

    def lately(self, kept: Kept) -> bool:
        """Whether it was seen to grow a moment ago."""
        return _within(kept.grown_s, self._clock())

    async def _take_up(self, stored: StoredSweep) -> Kept | None:
        kept = self._kept.get(stored.id) or await self._first(stored)
        if kept is None:
            return None
        kept.cancelled = stored.cancelled
        now_s = self._clock()
        if not kept.tally.complete and await kept.reader.read_on(self._store):
            kept.points = points_of(kept.tally)
            kept.grew(now_s)
        kept.looked_s = now_s
        return kept

    async def _first(self, stored: StoredSweep) -> Kept | None:
        """A sweep that another version wrote is left out of every list, and named once in the log."""
        if stored.id in self._unreadable:
            return None
        try:
            record = Record.from_bytes(stored.content, stored.id)
        except SpecError as error:
            self._unreadable.add(stored.id)
            _log.warning("left out: %s", error)
            return None
        kept = self._kept[stored.id] = Kept(await asyncio.to_thread(Reader, record))
        return kept


def _within(then_s: float | None, now_s: float) -> bool:
    return then_s is not None and now_s - then_s <= LATELY_S
