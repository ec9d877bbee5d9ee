# SPDX-License-Identifier: Apache-2.0
"""What the store has of a sweep. Loads no networks, so that looking at figures is quick."""

import asyncio
from collections.abc import Sequence

from experiments.sweeps.record import Record
from experiments.sweeps.result import UnitResult
from experiments.sweeps.tally import SweepTally
from service.stores.sweeps import FinishedUnit, SweepStore

_PAGE = 1000


class Reader:
    """A sweep's tally, and how far the store has been read for it. Costs time where there are many units."""

    def __init__(self, record: Record) -> None:
        self.tally = SweepTally(record)
        self._after = 0

    async def read_on(self, store: SweepStore) -> bool:
        """Take up what has been finished since the last time; whether there was any. Raises StoreUnavailableError."""
        before = self._after
        while page := await store.finished(self.tally.record.id, after=self._after, limit=_PAGE):
            await asyncio.to_thread(self._take, page)  # the event loop goes on meanwhile
            self._after = page[-1].sequence
        return self._after > before

    def _take(self, page: Sequence[FinishedUnit]) -> None:
        for finished in page:
            self.tally.add(finished.unit, UnitResult.from_bytes(finished.result))


async def read_tally(record: Record, store: SweepStore) -> SweepTally:
    """The sweep as far as it is finished. Raises StoreUnavailableError."""
    reader = await asyncio.to_thread(Reader, record)
    await reader.read_on(store)
    return reader.tally
