# SPDX-License-Identifier: Apache-2.0
"""Run a sweep from the command line: specification, images and weights become a record, a record becomes figures."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cli.evaluate import count_workers
from cli.failures import CommandError
from cli.options import read_token
from cli.sweep_tables import points_table
from cli.sweeping_progress import SweepingProgress
from cli.sweeps_kept import KeptSweep, find, opened
from cli.terminal import output
from client import Client
from experiments.data.cifar100 import DataSetMissingError
from experiments.sweeps.engine import CPU_ARITHMETIC, Engine, EngineError
from experiments.sweeps.http_engine import DEFAULT_PARALLEL, HttpEngine
from experiments.sweeps.images import load_images
from experiments.sweeps.link_engine import LinkEngine
from experiments.sweeps.record import Record
from experiments.sweeps.resolve import difference, profile_of, resolve
from experiments.sweeps.run import Limits, SweepRun
from experiments.sweeps.spec import Spec, SpecError
from models.weights import WEIGHTS_FOLDER, Manifest, WeightsError, read_manifest
from service.stores import StoreUnavailableError
from service.stores.sweeps import SweepStore

_GOES_ON = "what is finished is kept, and the same command goes on"


@dataclass(frozen=True)
class Place:
    """Where a sweep is computed."""

    via: Literal["link", "http"]
    edge: str
    token_file: Path | None
    data: Path
    weights: Path | None
    parallel: int | None
    patience_s: float

    @property
    def folder(self) -> Path:
        return self.weights or WEIGHTS_FOLDER


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
            begun = Record.from_bytes((await find(store, prefix)).content)
            return await _measure(begun.spec, store, place, begun)

    _show(_finished(run()))


async def _measure(spec: Spec, store: SweepStore, place: Place, begun: Record | None) -> KeptSweep:
    profile_of(spec)
    manifest = read_manifest(spec.profile, place.folder)
    images = load_images(spec.images, place.data)
    with ExitStack() as stack:
        progress = SweepingProgress()
        engine, arithmetic = await _engine(stack, spec, manifest, place, progress)
        record = resolve(spec, manifest, images, arithmetic)
        if begun is not None and (reason := difference(begun, record)):
            raise CommandError(f"sweep {begun.id[:12]} cannot go on: {reason}")
        stack.enter_context(progress)
        limits = Limits(patience_s=place.patience_s)
        tally = await SweepRun(record, images, store, engine, progress, limits).run()
    stored = await store.sweep(record.id)
    assert stored is not None, "it was put before the first unit"
    return KeptSweep(stored, tally)


async def _engine(
    stack: ExitStack, spec: Spec, manifest: Manifest, place: Place, progress: SweepingProgress
) -> tuple[Engine, str]:
    if place.via == "link":
        link = LinkEngine(spec.profile, place.folder, count_workers(place.parallel, "cpu"))
        stack.enter_context(closing(link))
        return link, CPU_ARITHMETIC
    client = stack.enter_context(Client(place.edge, token=read_token(place.token_file)))
    parallel = place.parallel or DEFAULT_PARALLEL
    http = HttpEngine(client, spec.profile, manifest.weights_sha256, parallel, place.patience_s, progress.notice)
    stack.enter_context(closing(http))
    return http, await http.arithmetic()


def _finished(measuring: Coroutine[Any, Any, KeptSweep]) -> KeptSweep:
    try:
        return asyncio.run(measuring)
    except (SpecError, DataSetMissingError, WeightsError) as error:
        raise CommandError(str(error)) from None
    except (EngineError, StoreUnavailableError) as error:
        raise CommandError(f"{error}; {_GOES_ON}") from None
    except KeyboardInterrupt:
        raise CommandError(f"interrupted: {_GOES_ON}") from None


def _show(kept: KeptSweep) -> None:
    output().print(points_table(kept))
    if not kept.tally.complete:
        raise CommandError(f"somebody has cancelled it: 'spikelink sweep resume {kept.stored.id[:12]}' goes on")
