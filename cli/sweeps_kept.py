# SPDX-License-Identifier: Apache-2.0
"""Sweeps as the store has them, for commands that compute nothing and therefore load no networks."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from cli.failures import CommandError, complain
from experiments.sweeps.record import Record
from experiments.sweeps.spec import SpecError
from experiments.sweeps.stored import read_tally
from experiments.sweeps.tally import SweepTally
from service.stores import StoreUnavailableError
from service.stores.sweeps import StoredSweep, SweepStore, default_sweep_store, open_sweep_store

T = TypeVar("T")


@dataclass(frozen=True)
class KeptSweep:
    """A sweep with what is finished of it."""

    stored: StoredSweep
    tally: SweepTally

    @property
    def state(self) -> str:
        if self.tally.complete:
            return "complete"
        return "cancelled" if self.stored.cancelled else "unfinished"


@asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[SweepStore]:
    """The store at a URL, or the default one. Raises CommandError, StoreUnavailableError."""
    try:
        store = open_sweep_store(url or default_sweep_store())
    except ValueError as error:
        raise CommandError(str(error)) from None
    try:
        await store.open()
        yield store
    finally:
        await store.close()


def answered(question: Coroutine[Any, Any, T]) -> T:
    """Ask a store. Raises CommandError where it is away or holds what this version cannot read."""
    try:
        return asyncio.run(question)
    except (SpecError, StoreUnavailableError) as error:
        raise CommandError(str(error)) from None


async def find(store: SweepStore, prefix: str) -> StoredSweep:
    """The sweep whose id begins so. Raises CommandError where there is none, or more than one."""
    found = [sweep for sweep in await store.sweeps() if sweep.id.startswith(prefix.lower())]
    if not found:
        raise CommandError(f"no sweep's id begins with {prefix!r}: 'spikelink sweep list' shows them")
    if len(found) > 1:
        raise CommandError(f"the ids of {len(found)} sweeps begin with {prefix!r}: give more digits")
    return found[0]


async def _kept(store: SweepStore, stored: StoredSweep) -> KeptSweep:
    return KeptSweep(stored, await read_tally(Record.from_bytes(stored.content, stored.id), store))


def all_tallies(url: str | None) -> list[KeptSweep]:
    """Those that this version can read; each other takes a line on stderr."""

    async def read() -> list[KeptSweep]:
        found = []
        async with opened(url) as store:
            for stored in await store.sweeps():
                try:
                    found.append(await _kept(store, stored))
                except SpecError as error:
                    complain(f"left out: {error}")
        return found

    return answered(read())


def one_tally(prefix: str, url: str | None) -> KeptSweep:
    async def read() -> KeptSweep:
        async with opened(url) as store:
            return await _kept(store, await find(store, prefix))

    return answered(read())


def cancel_sweep(prefix: str, url: str | None) -> str:
    """Returns the whole id."""

    async def cancel() -> str:
        async with opened(url) as store:
            found = await find(store, prefix)
            await store.set_cancelled(found.id, True)
            return found.id

    return answered(cancel())
