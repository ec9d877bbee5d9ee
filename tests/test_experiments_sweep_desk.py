# SPDX-License-Identifier: Apache-2.0
"""What the desk says of sweeps that others run, and its line of waiting sweeps. No nodes, no networks."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from manual_clock import ManualClock
from nodes import NOWHERE
from redis_server import running_redis
from sweeps import Heard, MadeUpEngine, failing_at, made_record, sorted_images

from client import SweepReport
from experiments.sweeps.desk import Desk
from experiments.sweeps.engine import EngineError
from experiments.sweeps.export import as_csv, as_json
from experiments.sweeps.line import Line
from experiments.sweeps.means import Edge, Means
from experiments.sweeps.record import Record
from experiments.sweeps.run import SweepRun
from experiments.sweeps.stored import read_tally
from service.stores import StoreUnavailableError
from service.stores.sweeps import RedisSweepStore, SqliteSweepStore, SweepStore

IMAGES = sorted_images(8)
UNITS = 2 * (1 + 2)


def desk_of(store: SweepStore, clock: ManualClock | None = None) -> Desk:
    means = Means(Edge(NOWHERE, None), Path("nowhere"), None)
    return Desk(store, means) if clock is None else Desk(store, means, clock)


async def run(record: Record, store: SweepStore, units: int = UNITS) -> None:
    """Somebody else's run of a sweep, which may fail after some units."""
    sweep = SweepRun(record, IMAGES, store, MadeUpEngine(before=failing_at(units)), Heard())
    try:
        await sweep.run()
    except EngineError:
        assert units < UNITS


async def only(desk: Desk) -> SweepReport:
    (report,) = await desk.look()
    return report


@pytest.mark.asyncio
async def test_a_sweep_that_grows_elsewhere_is_running(tmp_path: Path) -> None:
    store, theirs = (SqliteSweepStore(tmp_path / "sweeps.sqlite3") for _ in range(2))
    clock, record = ManualClock(), made_record(IMAGES, name="theirs")
    desk = desk_of(store, clock)
    assert await desk.look() == []
    await run(record, theirs, 2)
    first = await only(desk)
    assert (first.id, first.name, first.units_done, first.units_total) == (record.id, "theirs", 2, UNITS)
    assert first.state == "unfinished", "it may have stood there for long"
    clock.now_s += 1
    await run(record, theirs, 1)
    assert (await only(desk)).state == "running"
    clock.now_s += 14
    assert (await only(desk)).state == "running"
    clock.now_s += 2
    assert (await only(desk)).state == "unfinished"
    clock.now_s += 60
    await run(record, theirs, 1)
    assert (await only(desk)).state == "unfinished", "it has grown some time in the last minute"
    await theirs.set_cancelled(record.id, True)
    assert (await only(desk)).state == "cancelled"
    await run(record, theirs)
    last = await only(desk)
    assert (last.state, last.units_done) == ("complete", UNITS)
    assert len(last.points) == 2
    await asyncio.gather(desk.close(), theirs.close())


@pytest.mark.asyncio
async def test_its_speed_is_told_while_it_grows(tmp_path: Path) -> None:
    store, theirs = (SqliteSweepStore(tmp_path / "sweeps.sqlite3") for _ in range(2))
    clock, record = ManualClock(), made_record(IMAGES)
    desk = desk_of(store, clock)
    told = []
    for done in range(5):
        await run(record, theirs, min(done, 1))  # one unit more, each of 4 images, every 2 s
        report = await only(desk) if done else None
        told.append(report and (report.images_per_s, report.time_left_s))
        clock.now_s += 2
    assert told == [None, (None, None), (None, None), (2.0, 6.0), (2.0, 4.0)], "from the second growth that was seen"
    clock.now_s += 11
    assert (await only(desk)).images_per_s == 2.0
    clock.now_s += 3
    stands = await only(desk)
    assert (stands.state, stands.images_per_s, stands.time_left_s) == ("unfinished", None, None)
    await run(record, theirs, 1)
    assert (await only(desk)).images_per_s is None, "the time that it stood still is not its pace"
    await run(record, theirs)
    last = await only(desk)
    assert (last.state, last.images_per_s, last.time_left_s) == ("complete", None, None)
    await asyncio.gather(desk.close(), theirs.close())


@pytest.mark.asyncio
async def test_points_and_exports_are_those_of_the_tally(tmp_path: Path) -> None:
    store, record = SqliteSweepStore(tmp_path / "sweeps.sqlite3"), made_record(IMAGES)
    await run(record, store)
    desk, tally = desk_of(store), await read_tally(record, store)
    for point, figures in zip((await only(desk)).points, tally.figures(), strict=True):
        assert point.series == "snn-sc-harq, theta 0.5"
        assert (point.ber, point.images, point.accuracy) == (figures.point.ber, figures.images, figures.accuracy)
        assert (point.accuracy_low, point.accuracy_high) == figures.accuracy_interval
        assert (point.bandwidth_low, point.bandwidth_high) == figures.bandwidth_interval
        assert point.bandwidth_bits == figures.bandwidth_bits
    assert await desk.export(record.id, "csv") == as_csv(tally)
    assert await desk.export(record.id, "json") == as_json(tally)
    assert await desk.export("0" * 64, "csv") is None
    assert await desk.find("0" * 64) is None
    assert await desk.cancel("0" * 64) is None
    assert await desk.resume("0" * 64) is None
    await desk.close()


@pytest.mark.asyncio
async def test_a_sweep_of_another_version_is_left_out(tmp_path: Path) -> None:
    store, record = SqliteSweepStore(tmp_path / "sweeps.sqlite3"), made_record(IMAGES)
    await store.put_sweep("a" * 64, b'{"format": 2}')
    await store.put_sweep("b" * 64, record.to_bytes())
    await store.put_sweep(record.id, record.to_bytes())
    desk = desk_of(store)
    assert (await only(desk)).id == record.id
    assert await desk.find("a" * 64) is None
    await desk.close()


@pytest.mark.asyncio
async def test_a_store_that_comes_back_empty_is_read_afresh() -> None:
    with running_redis() as server:
        store, record = RedisSweepStore(server.url), made_record(IMAGES)
        desk = desk_of(store)
        await run(record, store, 3)
        assert (await only(desk)).units_done == 3
        server.kill()
        with pytest.raises(StoreUnavailableError):
            await desk.look()
        server.start()
        assert await desk.look() == []
        await run(record, store, 1)
        assert (await only(desk)).units_done == 1
        await desk.close()


def work(order: list[str], name: str, until: asyncio.Event) -> Callable[[], Coroutine[Any, Any, None]]:
    async def working() -> None:
        order.append(name)
        await until.wait()

    return working


@pytest.mark.asyncio
async def test_one_works_and_the_others_wait_in_order() -> None:
    line, order, ends = Line(most=2), list[str](), {name: asyncio.Event() for name in "abcd"}
    for name in "abc":
        line.add(name, work(order, name, ends[name]))
        line.add(name, work(order, f"{name} again", ends[name]))
    await asyncio.sleep(0)
    assert [line.place(name) for name in "abcd"] == ["running", "waiting", "waiting", None]
    assert line.full
    await line.stop("b")
    assert not line.full
    line.add("d", work(order, "d", ends["d"]))
    ends["a"].set()
    while "c" not in order:
        await asyncio.sleep(0)
    await line.stop("c")
    assert line.place("c") is None
    while "d" not in order:
        await asyncio.sleep(0)
    await line.close()
    assert order == ["a", "c", "d"]
    assert line.place("d") is None
