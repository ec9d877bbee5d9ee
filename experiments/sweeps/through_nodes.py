# SPDX-License-Identifier: Apache-2.0
"""Sweeps through the nodes for somebody else's account: whatever stands in their way is one line.

Loads the networks' code, which knows what each system needs; the networks themselves are the nodes'.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Final

from client import Client, SpikeLinkError, SweepRefusedError
from experiments.data.cifar100 import DataSetMissingError
from experiments.sweeps.engine import EngineError
from experiments.sweeps.events import Listener
from experiments.sweeps.http_engine import DEFAULT_PARALLEL, HttpEngine
from experiments.sweeps.material import Material, gather
from experiments.sweeps.means import Edge, Means
from experiments.sweeps.record import Record
from experiments.sweeps.run import Limits, SweepRun
from experiments.sweeps.spec import Spec, SpecError
from models.weights import WeightsError
from service.stores.sweeps import SweepStore

#: More would be a slip; each is a line in the store and in memory.
MOST_UNITS: Final = 500_000


@asynccontextmanager
async def nodes_engine(
    edge: Edge, material: Material, limits: Limits, notice: Callable[[str], None], parallel: int = DEFAULT_PARALLEL
) -> AsyncIterator[tuple[HttpEngine, str]]:
    """An engine with its arithmetic. Raises EngineError where a node is away for too long or has other weights."""
    profile, sha256 = material.spec.profile, material.manifest.weights_sha256
    with (
        Client(edge.url, token=edge.token, timeout_s=edge.timeout_s) as client,
        closing(HttpEngine(client, profile, sha256, parallel, limits.patience_s, notice)) as engine,
    ):
        yield engine, await engine.arithmetic()


async def resolve_spec(spec: Spec, means: Means, begun: Record | None = None) -> Record:
    """The sweep that a specification comes to with the nodes as they are now. Raises SweepRefusedError."""
    with _refusing():
        material = await asyncio.to_thread(gather, spec, means.data, means.weights)
        _check_size(material)
        async with nodes_engine(means.edge, material, Limits(patience_s=0), _unheard) as (_, arithmetic):
            return await asyncio.to_thread(material.record, arithmetic, begun)


async def measure(record: Record, means: Means, store: SweepStore, listener: Listener) -> bool:
    """Run a sweep until it is complete or cancelled in the store; whether it is complete.

    Raises SweepRefusedError, StoreUnavailableError.
    """
    limits = Limits()
    with _refusing():
        material = await asyncio.to_thread(gather, record.spec, means.data, means.weights)
        async with nodes_engine(means.edge, material, limits, listener.notice) as (engine, arithmetic):
            same = await asyncio.to_thread(material.record, arithmetic, record)
            # Whoever accepted it has taken an earlier cancellation back; one that came since is meant for this run.
            tally = await SweepRun(same, material.images, store, engine, listener, limits).run(afresh=False)
            return tally.complete


def _check_size(material: Material) -> None:
    """Before anything is made of it: few characters can ask for more than a memory holds."""
    spec = material.spec
    cells = sum(
        len(series.thresholds or (None,)) * len(series.t or (None,)) * len(series.bers or spec.bers)
        for series in spec.series
    )
    units = cells * len(spec.seeds) * -(-len(material.images) // spec.unit_images)
    if units > MOST_UNITS:
        raise SpecError(f"it would take {units:,} units of work, more than {MOST_UNITS:,}: ask for less")


def _unheard(text: str) -> None:
    """A node that is away is no news to who learns it from the refusal."""


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (SpecError, DataSetMissingError, WeightsError) as error:
        raise SweepRefusedError(str(error)) from None
    except (EngineError, SpikeLinkError) as error:
        raise SweepRefusedError(str(error), "nodes") from None
