# SPDX-License-Identifier: Apache-2.0
"""What the store has of a sweep. Loads no networks, so that looking at figures is quick."""

from experiments.sweeps.record import Record
from experiments.sweeps.result import UnitResult
from experiments.sweeps.tally import SweepTally
from service.stores.sweeps import SweepStore

_PAGE = 1000


async def read_tally(record: Record, store: SweepStore) -> SweepTally:
    """The sweep as far as it is finished. Raises StoreUnavailableError."""
    tally, after = SweepTally(record), 0
    while page := await store.finished(record.id, after=after, limit=_PAGE):
        for finished in page:
            tally.add(finished.unit, UnitResult.from_bytes(finished.result))
        after = page[-1].sequence
    return tally
