# SPDX-License-Identifier: Apache-2.0
"""Run a sweep from the command line: specification, images and weights become a record, a record becomes figures."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cli.evaluate import count_workers
from cli.failures import CommandError
from cli.options import read_token
from cli.own_process import keep_freed_memory
from cli.sweep_tables import points_table
from cli.sweeping_progress import SweepingProgress
from cli.sweeps_kept import KeptSweep, find, opened
from cli.terminal import output
from experiments.data.cifar100 import DataSetMissingError
from experiments.sweeps.engine import Engine, EngineError, cpu_arithmetic
from experiments.sweeps.http_engine import DEFAULT_PARALLEL
from experiments.sweeps.link_engine import LinkEngine
from experiments.sweeps.material import Material, gather
from experiments.sweeps.means import Edge
from experiments.sweeps.on_ray import ClusterError, ray_engine
from experiments.sweeps.record import Record
from experiments.sweeps.run import Limits, SweepRun
from experiments.sweeps.spec import Spec, SpecError
from experiments.sweeps.through_nodes import nodes_engine
from models.weights import WEIGHTS_FOLDER, WeightsError
from service.stores import StoreUnavailableError
from service.stores.sweeps import SweepStore

_GOES_ON = "what is finished is kept, and the same command goes on"


@dataclass(frozen=True)
class Place:
    """Where a sweep is computed."""

    via: Literal["link", "http", "ray"]
    edge: str
    token_file: Path | None
    data: Path
    weights: Path | None
    parallel: int | None
    patience_s: float
    timeout_s: float
    ray_address: str | None = None

    @property
    def limits(self) -> Limits:
        return Limits(patience_s=self.patience_s)


def run_spec(read: Callable[[], Spec], store_url: str | None, place: Place) -> None:
    """Measure a specification and show its figures. Raises CommandError."""

    async def run() -> KeptSweep:
        spec = read()
        async with opened(store_url) as store:
            return await _measure(spec, store, place, None)

    _show(_finished(run()))


def resume_sweep(prefix: str, store_url: str | None, place: Place) -> None:
    """Go on with a sweep of the store and show its figures. Raises CommandError."""

    async def run() -> KeptSweep:
        async with opened(store_url) as store:
            found = await find(store, prefix)
            begun = Record.from_bytes(found.content, found.id)
            return await _measure(begun.spec, store, place, begun)

    _show(_finished(run()))


async def _measure(spec: Spec, store: SweepStore, place: Place, begun: Record | None) -> KeptSweep:
    material, progress = gather(spec, place.data, place.weights), SweepingProgress()
    async with _engine(material, place, progress) as (engine, arithmetic):
        record = material.record(arithmetic, begun)
        with progress:
            tally = await SweepRun(record, material.images, store, engine, progress, place.limits).run()
    stored = await store.sweep(record.id)
    assert stored is not None, "it was put before the first unit"
    return KeptSweep(stored, tally)


@asynccontextmanager
async def _engine(material: Material, place: Place, progress: SweepingProgress) -> AsyncIterator[tuple[Engine, str]]:
    """An engine and its arithmetic."""
    if place.via == "link":
        workers = count_workers(place.parallel, "cpu")
        keep_freed_memory()  # of one worker, it is this process
        with closing(LinkEngine(material.spec.profile, place.weights or WEIGHTS_FOLDER, workers)) as link:
            yield link, cpu_arithmetic(material.spec.profile)
        return
    if place.via == "ray":
        with ray_engine(
            place.ray_address, material, place.weights, place.parallel, place.patience_s, progress.notice
        ) as cluster:
            yield cluster, cpu_arithmetic(material.spec.profile)
        return
    parallel = place.parallel or DEFAULT_PARALLEL
    edge = Edge(place.edge, read_token(place.token_file), place.timeout_s)
    async with nodes_engine(edge, material, place.limits, progress.notice, parallel) as found:
        yield found


def _finished(measuring: Coroutine[Any, Any, KeptSweep]) -> KeptSweep:
    try:
        return asyncio.run(measuring)
    except (ClusterError, SpecError, DataSetMissingError, WeightsError) as error:
        raise CommandError(str(error)) from None
    except (EngineError, StoreUnavailableError) as error:
        raise CommandError(f"{error}; {_GOES_ON}") from None
    except KeyboardInterrupt:
        raise CommandError(f"interrupted: {_GOES_ON}") from None


def _show(kept: KeptSweep) -> None:
    output().print(points_table(kept))
    if not kept.tally.complete:
        raise CommandError(f"somebody has cancelled it: 'spikelink sweep resume {kept.stored.id[:12]}' goes on")
