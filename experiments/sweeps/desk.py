# SPDX-License-Identifier: Apache-2.0
"""The dashboard's sweeps: all of a store to look at, and those that it starts, one at a time through the nodes.

It is what ``service.nodes.dashboard.desk`` asks for. The networks' code is loaded when the first sweep is started.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Final, Literal

from pydantic import JsonValue

from client import SweepRefusedError, SweepReport
from experiments.sweeps.events import UnitFinished
from experiments.sweeps.export import as_csv, as_json
from experiments.sweeps.line import Line
from experiments.sweeps.means import Means
from experiments.sweeps.record import Record
from experiments.sweeps.reports import State, report_of
from experiments.sweeps.shelf import Kept, Shelf
from experiments.sweeps.spec import Spec, SpecError, spec_of
from experiments.sweeps.tally import SweepTally
from service.stores import StoreUnavailableError
from service.stores.sweeps import SweepStore

MOST_WAITING: Final = 16
_UNFORESEEN: Final = "an unforeseen error; the dashboard's log has it"
_log = logging.getLogger("spikelink")


class _Said:
    """Remembers the last line that a sweep said, and what waits for the store. How it grows is seen in the store."""

    text: str | None = None
    results: int = 0
    most: int = 0

    def begin(self, tally: SweepTally) -> None: ...

    def unit_finished(self, event: UnitFinished) -> None: ...

    def waiting(self, results: int, most: int) -> None:
        self.results, self.most = results, most

    def notice(self, text: str) -> None:
        self.text = text


class Desk:
    """Sweeps of one store, some of them run from here. Its methods but `close` raise `StoreUnavailableError`."""

    def __init__(self, store: SweepStore, means: Means, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._means = store, means
        self._shelf, self._line = Shelf(store, clock), Line(MOST_WAITING)
        self._said: dict[str, _Said] = {}
        #: Those in the line that somebody has asked for once more: theirs may be a run that is about to stop.
        self._again: set[str] = set()
        self._looking, self._changing = asyncio.Lock(), asyncio.Lock()

    async def open(self) -> None:
        """Connect where the store is there; every call tries again."""
        try:
            await self._store.open()
        except StoreUnavailableError as error:
            _log.warning("the store of sweeps is away: %s", error)

    async def close(self) -> None:
        """Stop what runs here; what is finished is kept."""
        await self._line.close()
        await self._store.close()

    async def ping(self) -> None:
        """Return if the store answers."""
        with self._saying_what_waits():
            await self._store.ping()

    async def look(self) -> list[SweepReport]:
        """All sweeps that this version can read, the oldest first."""
        async with self._looking:
            with self._saying_what_waits():
                return [self._report(kept) for kept in await self._shelf.look()]

    async def find(self, sweep: str) -> SweepReport | None:
        """One of them; None where there is none of that id."""
        async with self._looking:
            kept = await self._shelf.find(sweep)
            return None if kept is None else self._report(kept)

    async def start(self, spec: Mapping[str, JsonValue]) -> SweepReport:
        """Run a specification after those that run here; one that is there already goes on."""
        try:
            asked = spec_of(spec)
        except SpecError as error:
            raise SweepRefusedError(str(error)) from None
        return await self._accept(await self._resolved(asked, None))

    async def resume(self, sweep: str) -> SweepReport | None:
        """Go on with one that is not complete; None where there is none of that id."""
        async with self._looking:
            kept = await self._shelf.find(sweep)
        if kept is None:
            return None
        if kept.tally.complete:
            return self._report(kept)
        record = kept.tally.record
        return await self._accept(await self._resolved(record.spec, record))

    async def cancel(self, sweep: str) -> SweepReport | None:
        """Stop it here, and ask whoever else runs it to stop; None where there is none of that id."""
        async with self._changing:
            await self._line.stop(sweep)
            self._said.pop(sweep, None)
            await self._store.set_cancelled(sweep, True)
        return await self.find(sweep)

    async def export(self, sweep: str, form: Literal["csv", "json"]) -> str | None:
        """Its figures as ``spikelink sweep export`` writes them; None where there is none of that id."""
        async with self._looking:
            kept = await self._shelf.find(sweep)
            return None if kept is None else {"csv": as_csv, "json": as_json}[form](kept.tally)

    async def _resolved(self, spec: Spec, begun: Record | None) -> Record:
        if spec.images.folder is not None:
            raise SweepRefusedError("images: a folder is of this machine: name a data_set")
        # In a thread: it takes seconds, once.
        await asyncio.to_thread(import_module, "experiments.sweeps.through_nodes")
        from experiments.sweeps.through_nodes import resolve_spec

        return await resolve_spec(spec, self._means, begun)

    async def _accept(self, record: Record) -> SweepReport:
        async with self._changing:
            if self._line.place(record.id) is None and self._line.full:
                raise SweepRefusedError(f"{MOST_WAITING} sweeps wait here already: cancel one or try later", "line")
            await self._store.put_sweep(record.id, record.to_bytes())
            if (await self._there(record.id)).state != "complete":
                await self._store.set_cancelled(record.id, False)
                self._go_on(record)
            return await self._there(record.id)

    def _go_on(self, record: Record) -> None:
        """Once the store says that it is not cancelled: what is in the line may have seen that it was."""
        if self._line.place(record.id) is None:
            self._said.pop(record.id, None)
            self._line.add(record.id, partial(self._measure, record))
        else:
            self._again.add(record.id)

    async def _there(self, sweep: str) -> SweepReport:
        report = await self.find(sweep)
        if report is None:
            raise SweepRefusedError(f"sweep {sweep[:12]} is in the store as another version of SpikeLink wrote it")
        return report

    async def _measure(self, record: Record) -> None:
        from experiments.sweeps.through_nodes import measure

        said = self._said[record.id] = _Said()
        again = True
        try:
            while again:
                self._again.discard(record.id)
                done = not await self._cancelled(record.id) and await measure(record, self._means, self._store, said)
                # Nothing is awaited from here to the end, so that whoever asks again is heard here or finds it gone.
                again = not done and record.id in self._again
        except (SweepRefusedError, StoreUnavailableError) as error:
            said.notice(str(error))
        except Exception:
            _log.exception("sweep %s failed", record.id[:12])
            said.notice(_UNFORESEEN)
        finally:
            # It no longer grows, and a store that has lost something must be read afresh.
            self._shelf.forget(record.id)

    async def _cancelled(self, sweep: str) -> bool:
        """Whether somebody has cancelled it while it was waiting here."""
        try:
            stored = await self._store.sweep(sweep)
        except StoreUnavailableError:
            return False  # the run has patience with a store that is away
        return stored is not None and stored.cancelled

    @contextmanager
    def _saying_what_waits(self) -> Iterator[None]:
        """An error of the store also says how many results of the sweep that runs here wait for it."""
        try:
            yield
        except StoreUnavailableError as error:
            waits = [
                f"{said.results} of at most {said.most} results wait for it"
                for sweep, said in self._said.items()
                if said.results and self._line.place(sweep) == "running"
            ]
            raise StoreUnavailableError("; ".join([str(error), *waits])) from None

    def _report(self, kept: Kept) -> SweepReport:
        sweep, state = kept.tally.record.id, self._state(kept)
        said = self._said.get(sweep)
        message = said.text if said is not None and state != "complete" else None
        speed = kept.speed if state == "running" else None
        return report_of(kept.tally, kept.points, state, message, speed)

    def _state(self, kept: Kept) -> State:
        if kept.tally.complete:
            return "complete"
        if kept.cancelled:
            return "cancelled"
        if place := self._line.place(kept.tally.record.id):
            return place
        return "running" if self._shelf.lately(kept) else "unfinished"
