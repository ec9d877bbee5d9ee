# SPDX-License-Identifier: Apache-2.0
"""What sweeps ask of their store: keep a sweep, finish its units one by one, tell what has been finished since.

A unit is named by its content, so its result is the same whoever computes it, and sweeps that share a unit share it.
Sweeps and results do not expire.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StoredSweep:
    """A sweep as it lies in the store. ``content`` is the business of whoever wrote it."""

    id: str
    content: bytes
    cancelled: bool


@dataclass(frozen=True)
class FinishedUnit:
    """A unit of a sweep. ``sequence`` grows strictly with every unit that any sweep of the store finishes."""

    sequence: int
    unit: str
    result: bytes


class SweepStore(Protocol):
    """Sweeps by id. Every method but `close` raises `StoreUnavailableError` and nothing else of the back end's.

    Every write may be repeated: a reply that is lost leaves the caller free to ask again.
    """

    @property
    def name(self) -> str:
        """The name in the catalogue."""

    async def open(self) -> None:
        """Connect, or create what is missing. May be called again to learn whether the store is back."""

    async def put_sweep(self, sweep: str, content: bytes) -> None:
        """Keep a sweep; where there is one of that id, it stays as it is."""

    async def sweep(self, sweep: str) -> StoredSweep | None:
        """One sweep, or None where there is none of that id."""

    async def sweeps(self) -> list[StoredSweep]:
        """All of them, in the order in which they came."""

    async def set_cancelled(self, sweep: str, cancelled: bool) -> None:
        """Ask whoever runs a sweep to stop, or take that back. Nothing happens where there is no such sweep."""

    async def finish(self, sweep: str, unit: str, result: bytes) -> None:
        """Keep a result and note that the sweep has it: both or neither, and once however often it is said.

        Where the unit has a result already, from this sweep or from another, that one stays.
        """

    async def results(self, units: Sequence[str]) -> dict[str, bytes]:
        """The results of those units that any sweep has finished."""

    async def finished(self, sweep: str, *, after: int = 0, limit: int = 1000) -> list[FinishedUnit]:
        """The sweep's units with a sequence number above ``after``, the smallest ``limit`` of them in order.

        Whoever reads on from the last number it has seen misses none and meets none twice.
        """

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Let go of connections and files. Never fails; the store is of no use afterwards."""
