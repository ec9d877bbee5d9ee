# SPDX-License-Identifier: Apache-2.0
"""Run a sweep: what the store does not have is computed, unit by unit, until the store has everything.

Killed at any moment and run again, it goes on with what is not finished, and the figures are those of a run in one go.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from experiments.data.cifar100 import LabelledImages
from experiments.sweeps.engine import Engine, EngineError, Task
from experiments.sweeps.events import Listener, UnitFinished
from experiments.sweeps.patience import Patience
from experiments.sweeps.record import Record, Unit
from experiments.sweeps.result import UnitResult
from experiments.sweeps.spool import DEFAULT_SIZE, Spool, persist
from experiments.sweeps.stored import read_tally
from experiments.sweeps.tally import SweepTally
from service.stores.sweeps import SweepStore


@dataclass(frozen=True)
class Limits:
    """How many results may wait for the store, and how long it may be away."""

    spool_units: int = DEFAULT_SIZE
    patience_s: float = 300.0


class SweepRun:
    """One sweep, its images, where it is computed and where it is kept."""

    def __init__(
        self, record: Record, images: LabelledImages, store: SweepStore, engine: Engine, listener: Listener,
        limits: Limits = Limits(),  # frozen
    ) -> None:  # fmt: skip  # one line says what it needs
        self._record, self._images = record, images
        self._store, self._engine, self._listener, self._limits = store, engine, listener, limits
        self._patience = Patience("store", limits.patience_s, listener.notice)
        self._last: tuple[int, LabelledImages] | None = None

    async def run(self, *, afresh: bool = True) -> SweepTally:
        """Until the sweep is complete, or somebody cancels it. Raises EngineError, StoreUnavailableError.

        ``afresh`` takes an earlier cancellation back.
        """
        await persist(lambda: self._store.put_sweep(self._record.id, self._record.to_bytes()), self._patience)
        if afresh:
            await persist(lambda: self._store.set_cancelled(self._record.id, False), self._patience)
        cancelled = False
        while True:
            tally = await persist(lambda: read_tally(self._record, self._store), self._patience)
            if tally.complete or cancelled:
                return tally
            self._listener.begin(tally)
            size, waiting = self._limits.spool_units, self._listener.waiting
            async with Spool(self._store, self._record.id, size, self._patience, waiting) as spool:
                await self._adopt(tally, spool)
                await self._compute(tally, spool)
                cancelled = spool.cancelled
            # Read again: a server that has lost its last writes in a crash, or all of them, gets them once more.
            await persist(lambda: self._store.put_sweep(self._record.id, self._record.to_bytes()), self._patience)

    async def _adopt(self, tally: SweepTally, spool: Spool) -> None:
        """What other sweeps have finished need not be computed."""
        wanted = {unit.name: unit for unit in tally.wanted()}
        known = await persist(lambda: self._store.results(list(wanted)), self._patience)
        for name, unit in wanted.items():
            if name in known and tally.points[unit.point].wants(unit):
                await spool.put(name, known[name])
                self._take(tally, unit, UnitResult.from_bytes(known[name]), computed=False)

    async def _compute(self, tally: SweepTally, spool: Spool) -> None:
        """Everything that is still wanted; what is computed is written, even where the engine then fails."""
        running: dict[asyncio.Task[UnitResult], Unit] = {}
        wanted = tally.wanted()
        try:
            while self._start(wanted, running, spool):
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for finished in sorted(done, key=lambda task: task.exception() is not None):
                    unit, result = running.pop(finished), finished.result()
                    await spool.put(unit.name, result.to_bytes())
                    self._take(tally, unit, result, computed=True)
            await spool.drain()
        except EngineError:
            await spool.drain()
            raise
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _start(self, wanted: Iterator[Unit], running: dict[asyncio.Task[UnitResult], Unit], spool: Spool) -> bool:
        """Give the engine as much as it can use; whether anything is under way."""
        while len(running) < self._engine.parallel and not spool.cancelled:
            unit = next(wanted, None)
            if unit is None:
                break
            running[asyncio.create_task(self._engine.compute(self._task(unit)))] = unit
        return bool(running)

    def _task(self, unit: Unit) -> Task:
        if self._last is None or self._last[0] != unit.chunk:  # the units of a chunk share its images
            rows = self._record.chunk_rows(unit.chunk)
            self._last = unit.chunk, self._images.select(np.arange(rows.start, rows.stop))
        return Task(self._record.spec.profile, self._record.points[unit.point], unit.seed, self._last[1])

    def _take(self, tally: SweepTally, unit: Unit, result: UnitResult, *, computed: bool) -> None:
        tally.add(unit.name, result)
        images, figures = self._record.chunk_images(unit.chunk), tally.points[unit.point].figures()
        self._listener.unit_finished(UnitFinished(unit, images, computed, figures, tally.units_done, tally.units_total))
