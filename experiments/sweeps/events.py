# SPDX-License-Identifier: Apache-2.0
"""What a running sweep tells. The page needs notices and what waits alone: it sees in the store how a sweep grows."""

from dataclasses import dataclass
from typing import Protocol

from experiments.sweeps.record import Unit
from experiments.sweeps.tally import Figures, SweepTally


@dataclass(frozen=True)
class UnitFinished:
    """A unit is done. ``computed``: just now, not in an earlier run or by another sweep.

    ``figures`` are those of its grid point from now on, None where images before these are still missing.
    """

    unit: Unit
    images: int
    computed: bool
    figures: Figures | None
    units_done: int
    units_total: int


class Listener(Protocol):
    """Hears how a sweep goes, in the event loop's thread."""

    def begin(self, tally: SweepTally) -> None:
        """The sweep starts, or goes on, from here."""

    def unit_finished(self, event: UnitFinished) -> None:
        """A point has grown."""

    def waiting(self, results: int, most: int) -> None:
        """So many results wait for the store, beside the one that is being written; no more than ``most`` may."""

    def notice(self, text: str) -> None:
        """Something that a person should know, in one line: what is waited for, and that it is back."""
