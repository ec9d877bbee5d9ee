# SPDX-License-Identifier: Apache-2.0
"""The same sweep in process and through the nodes, each from a warm start."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from experiments.bench.items import SYSTEM
from experiments.bench.report import SweepPair
from experiments.sweeps.engine import Engine
from experiments.sweeps.events import UnitFinished
from experiments.sweeps.link_engine import LinkEngine
from experiments.sweeps.material import Material
from experiments.sweeps.means import Edge
from experiments.sweeps.record import Record
from experiments.sweeps.run import Limits, SweepRun
from experiments.sweeps.spec import Images, Series, Spec
from experiments.sweeps.tally import SweepTally
from experiments.sweeps.through_nodes import nodes_engine
from service.stores.sweeps import SqliteSweepStore

_BERS: Final = (0.0, 0.1, 0.2, 0.3)


def sweep_spec(profile: str, images: Images, seed: int) -> Spec:
    """The paper's system at its default theta, at four BERs."""
    return Spec(profile=profile, bers=_BERS, seeds=(seed,), series=(Series(system=SYSTEM),), images=images)


class _Unheard:
    """A sweep's progress, which is over before it could be of interest."""

    def begin(self, tally: SweepTally) -> None: ...

    def unit_finished(self, event: UnitFinished) -> None: ...

    def waiting(self, results: int, most: int) -> None: ...

    def notice(self, text: str) -> None: ...


@dataclass(frozen=True)
class SweepBench:
    """A sweep, the weights' folder, the edge, and a process a core."""

    material: Material
    weights: Path
    edge: Edge
    workers: int

    def compare(self, tell: Callable[[str], None], notice: Callable[[str], None]) -> SweepPair:
        """Raises EngineError, StoreUnavailableError, and what ``client`` raises."""
        return asyncio.run(self._compare(tell, notice))

    async def _compare(self, tell: Callable[[str], None], notice: Callable[[str], None]) -> SweepPair:
        async with nodes_engine(self.edge, self.material, Limits(), notice) as (nodes, arithmetic):
            tell("sweep through the nodes")
            record = self.material.record(arithmetic)
            http, http_s = await self._timed(nodes, record, self._warm_up(arithmetic))
        tell("sweep in process")
        with closing(LinkEngine(self.material.spec.profile, self.weights, self.workers)) as link:
            in_process, link_s = await self._timed(link, record, self._warm_up(arithmetic))
        return SweepPair(
            images=record.images,
            units=http.units_total,
            link_s=link_s,
            http_s=http_s,
            equal=http.figures() == in_process.figures(),
        )

    def _warm_up(self, arithmetic: str) -> Record:
        """Units of the same size under other noise, so that none of the measured ones is finished before."""
        (seed,) = self.material.spec.seeds
        spec = self.material.spec.model_copy(update={"bers": _BERS[1:2], "seeds": (seed + 1,)})
        return replace(self.material, spec=spec).record(arithmetic)

    async def _timed(self, engine: Engine, record: Record, warm_up: Record) -> tuple[SweepTally, float]:
        """Workers, weights and buffers are there before the clock starts."""
        with TemporaryDirectory(prefix="spikelink-bench-") as folder:
            store = SqliteSweepStore(Path(folder) / "sweeps.sqlite3")
            try:
                await self._run(engine, warm_up, store)
                began_s = time.monotonic()
                tally = await self._run(engine, record, store)
                return tally, time.monotonic() - began_s
            finally:
                await store.close()

    async def _run(self, engine: Engine, record: Record, store: SqliteSweepStore) -> SweepTally:
        return await SweepRun(record, self.material.images, store, engine, _Unheard()).run()
