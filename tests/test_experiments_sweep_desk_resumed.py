# SPDX-License-Identifier: Apache-2.0
"""Sweeps in the desk's line that were cancelled elsewhere and are resumed: whatever the moment, they are measured."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nodes import PATIENCE_S
from sweeps import MadeUpEngine, made_record, sorted_images
from test_experiments_sweep_desk import desk_of

from experiments.sweeps.desk import Desk
from experiments.sweeps.engine import Task
from experiments.sweeps.events import Listener
from experiments.sweeps.line import Line
from experiments.sweeps.means import Means
from experiments.sweeps.record import Record
from experiments.sweeps.result import UnitResult
from experiments.sweeps.run import SweepRun
from experiments.sweeps.spec import Spec
from service.stores.sweeps import SqliteSweepStore, StoredSweep, SweepStore

IMAGES = sorted_images(8)


class HeldEngine(MadeUpEngine):
    """Computes two units at a time, each of them with a permit."""

    def __init__(self) -> None:
        super().__init__(parallel=2)
        self.permits, self.asked = asyncio.Semaphore(0), 0

    def permit(self, units: int) -> None:
        for _ in range(units):
            self.permits.release()

    async def compute(self, task: Task) -> UnitResult:
        self.asked += 1
        await self.permits.acquire()
        return await super().compute(task)


class SeenStore(SqliteSweepStore):
    """Notes that somebody has seen a sweep cancelled, and how often."""

    seen = 0
    #: Called with each.
    on_seen: Callable[[], None] = staticmethod(lambda: None)
    #: Awaited before a cancellation is taken back.
    before_back: Callable[[], Awaitable[None]] | None = None

    async def sweep(self, sweep: str) -> StoredSweep | None:
        stored = await super().sweep(sweep)
        if stored is not None and stored.cancelled:
            self.seen += 1
            self.on_seen()
        return stored

    async def set_cancelled(self, sweep: str, cancelled: bool) -> None:
        if not cancelled and self.before_back is not None:
            await self.before_back()
        await super().set_cancelled(sweep, cancelled)


def runs_with(monkeypatch: pytest.MonkeyPatch, engine: HeldEngine, records: list[Record], theirs: SweepStore) -> None:
    """What the desk asks of the nodes, without nodes; the runs look at the store through ``theirs``."""

    async def resolve(spec: Spec, means: Means, begun: Record | None = None) -> Record:
        return next(record for record in records if record.spec == spec)

    async def measure(record: Record, means: Means, store: SweepStore, listener: Listener) -> bool:
        return (await SweepRun(record, IMAGES, theirs, engine, listener).run(afresh=False)).complete

    monkeypatch.setattr("experiments.sweeps.through_nodes.resolve_spec", resolve)
    monkeypatch.setattr("experiments.sweeps.through_nodes.measure", measure)


async def come_true(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition; fails the test where it does not come true."""
    deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline_s, f"waited in vain for: {what}"
        await asyncio.sleep(0.005)


async def state(desk: Desk, record: Record) -> str:
    report = await desk.find(record.id)
    assert report is not None
    return report.state


async def completed(desk: Desk, record: Record) -> None:
    async def ended() -> bool:
        return await state(desk, record) not in ("waiting", "running")

    await come_true(ended, "the end of the sweep")
    assert await state(desk, record) == "complete"


async def resumed(desk: Desk, record: Record) -> str:
    report = await desk.resume(record.id)
    assert report is not None
    return report.state


@pytest.mark.asyncio
async def test_one_whose_run_has_seen_it_cancelled_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit or two are still on their way: the run gives out no more, whatever the store says by then."""
    path, record, engine = tmp_path / "sweeps.sqlite3", made_record(IMAGES), HeldEngine()
    desk, theirs = desk_of(SqliteSweepStore(path)), SeenStore(path)
    runs_with(monkeypatch, engine, [record], theirs)
    monkeypatch.setattr("experiments.sweeps.spool._LOOK_EVERY_S", 0.0)
    theirs.on_seen = lambda: monkeypatch.setattr("experiments.sweeps.spool._LOOK_EVERY_S", 1e6)
    await theirs.put_sweep(record.id, record.to_bytes())
    assert await resumed(desk, record) == "running"

    async def under_way() -> bool:
        return engine.asked == 2

    async def seen() -> bool:
        return theirs.seen > 0

    await come_true(under_way, "its first units")
    await theirs.set_cancelled(record.id, True)
    engine.permit(1)
    await come_true(seen, "the run's look at the store")
    assert await state(desk, record) == "cancelled"
    assert await resumed(desk, record) == "running"
    engine.permit(100)
    await completed(desk, record)
    await asyncio.gather(desk.close(), theirs.close())


@pytest.mark.asyncio
@pytest.mark.parametrize("turn", ["before", "meanwhile"])
async def test_one_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: str) -> None:
    """Its turn comes long after it is resumed, or while it is: the line then passes over it as cancelled."""
    path, engine = tmp_path / "sweeps.sqlite3", HeldEngine()
    store, theirs = SeenStore(path), SqliteSweepStore(path)
    desk, records = desk_of(store), [made_record(IMAGES, name=name) for name in ("first", "second")]
    runs_with(monkeypatch, engine, records, theirs)
    for record in records:
        await theirs.put_sweep(record.id, record.to_bytes())
    assert [await resumed(desk, record) for record in records] == ["running", "waiting"]
    await theirs.set_cancelled(records[1].id, True)

    async def its_turn_comes() -> None:
        before = store.seen
        engine.permit(100)

        async def passed_over() -> bool:
            return store.seen > before

        await come_true(passed_over, "its turn")

    if turn == "meanwhile":
        store.before_back = its_turn_comes
    assert await resumed(desk, records[1]) in ("waiting", "running")
    engine.permit(100)
    for record in records:
        await completed(desk, record)
    await asyncio.gather(desk.close(), theirs.close())


@pytest.mark.asyncio
async def test_cancelled_once_more_it_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, record, engine = tmp_path / "sweeps.sqlite3", made_record(IMAGES), HeldEngine()
    desk, theirs = desk_of(SqliteSweepStore(path)), SqliteSweepStore(path)
    runs_with(monkeypatch, engine, [record], theirs)
    await theirs.put_sweep(record.id, record.to_bytes())
    assert [await resumed(desk, record) for _ in range(2)] == ["running", "running"]
    report = await desk.cancel(record.id)
    assert report is not None
    assert report.state == "cancelled"
    engine.permit(100)
    assert await resumed(desk, record) == "running"
    await completed(desk, record)
    await asyncio.gather(desk.close(), theirs.close())


@pytest.mark.asyncio
async def test_what_has_ended_a_moment_ago_is_no_longer_in_the_line() -> None:
    """Its task is done, and the line does not know yet: what is added now would be lost with it."""
    line, places, done = Line(most=2), list[str | None](), asyncio.Event()

    async def again() -> None:
        done.set()

    def look() -> None:
        places.append(line.place("a"))
        line.add("a", again)
        places.append(line.place("a"))

    async def work() -> None:
        asyncio.get_running_loop().call_soon(look)  # runs before what the end of this calls

    line.add("a", work)
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()
    assert places == [None, "waiting"]
    await line.close()
