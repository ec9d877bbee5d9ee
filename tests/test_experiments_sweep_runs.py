# SPDX-License-Identifier: Apache-2.0
"""A sweep that is interrupted, cancelled, out of order or without its store ends with the figures of one in one go."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import RedisServer, running_redis
from sweeps import Heard, MadeUpEngine, failing_at, made_record, sorted_images

from experiments.sweeps.engine import EngineError
from experiments.sweeps.export import as_json
from experiments.sweeps.record import Record
from experiments.sweeps.run import Limits, SweepRun
from experiments.sweeps.stored import read_tally
from experiments.sweeps.tally import SweepTally
from service.stores import StoreUnavailableError
from service.stores.sweeps import RedisSweepStore, SqliteSweepStore, SweepStore

IMAGES = sorted_images(22)
PATIENT = Limits(spool_units=4, patience_s=60.0)


@pytest.fixture
def store(tmp_path: Path) -> SweepStore:
    return SqliteSweepStore(tmp_path / "sweeps.sqlite3")


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis(appendonly=True) as server:
        yield server


async def run(
    record: Record, store: SweepStore, engine: MadeUpEngine, heard: Heard | None = None, limits: Limits = PATIENT
) -> SweepTally:
    return await SweepRun(record, IMAGES, store, engine, heard or Heard(), limits).run()


async def undisturbed(record: Record, folder: Path) -> str:
    store = SqliteSweepStore(folder / "undisturbed.sqlite3")
    tally = await run(record, store, MadeUpEngine())
    await store.close()
    assert tally.complete
    return as_json(tally)


@pytest.mark.asyncio
@pytest.mark.parametrize("half_width", [None, 20.0])
async def test_many_at_once_in_any_order_is_one_after_the_other(
    store: SweepStore, tmp_path: Path, half_width: float | None
) -> None:
    record = made_record(IMAGES, half_width=half_width)
    expected = await undisturbed(record, tmp_path)
    for order in range(5):
        other = SqliteSweepStore(tmp_path / f"{order}.sqlite3")
        tally = await run(record, other, MadeUpEngine(parallel=5, seed=order))
        assert as_json(tally) == expected
        await other.close()
    await store.close()


@pytest.mark.asyncio
async def test_the_listener_hears_every_point_grow(store: SweepStore) -> None:
    record, heard = made_record(IMAGES), Heard()
    tally = await run(record, store, MadeUpEngine(parallel=3), heard)
    units = list(record.units())
    assert len(heard.events) == len(units) == tally.units_done
    assert [event.units_done for event in heard.events] == list(range(1, len(units) + 1))
    last = {event.unit.point: event.figures for event in heard.events}
    assert [last[index] for index in sorted(last)] == tally.figures()
    assert (heard.begun, heard.notices) == (1, [])
    await store.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("half_width", [None, 20.0])
async def test_what_breaks_off_goes_on(store: SweepStore, tmp_path: Path, half_width: float | None) -> None:
    record = made_record(IMAGES, half_width=half_width)
    expected, computed = await undisturbed(record, tmp_path), 0
    for number in (1, 3, 2):
        engine = MadeUpEngine(parallel=3, seed=number, before=failing_at(number))
        with pytest.raises(EngineError, match="gone"):
            await run(record, store, engine)
        computed += engine.computed
        # All that was computed is in the store, also what came in the moment of the failure.
        assert (await read_tally(record, store)).units_done == computed
    engine = MadeUpEngine(parallel=2, seed=9)
    tally = await run(record, store, engine)
    assert as_json(tally) == expected
    assert computed + engine.computed == tally.units_done
    again = MadeUpEngine()
    assert as_json(await run(record, store, again)) == expected
    assert again.computed == 0
    await store.close()


@pytest.mark.asyncio
async def test_what_another_sweep_has_is_not_computed_again(store: SweepStore) -> None:
    first, second = made_record(IMAGES), made_record(IMAGES, bers=(0.1, 0.2), name="more BERs")
    await run(first, store, MadeUpEngine())
    engine, heard = MadeUpEngine(), Heard()
    tally = await run(second, store, engine, heard)
    assert tally.complete
    assert (engine.computed, heard.computed, len(heard.events)) == (12, 12, 24)
    assert (await read_tally(second, store)).complete
    await store.close()


@pytest.mark.asyncio
async def test_a_cancellation_before_the_first_unit_counts_unless_the_run_takes_it_back(store: SweepStore) -> None:
    record, engine = made_record(IMAGES), MadeUpEngine()
    await store.put_sweep(record.id, record.to_bytes())
    await store.set_cancelled(record.id, True)
    tally = await SweepRun(record, IMAGES, store, engine, Heard(), PATIENT).run(afresh=False)
    assert tally.units_done == 0
    assert (await run(record, store, engine)).complete
    await store.close()


@pytest.mark.asyncio
async def test_cancelled_from_outside_and_taken_up_again(
    store: SweepStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.sweeps.spool._LOOK_EVERY_S", 0.0)
    record, other = made_record(IMAGES), SqliteSweepStore(tmp_path / "sweeps.sqlite3")

    class Cancelling(Heard):
        def unit_finished(self, event: object) -> None:
            super().unit_finished(event)  # type: ignore[arg-type]
            if len(self.events) == 5:
                self.cancelling = asyncio.ensure_future(other.set_cancelled(record.id, True))

    engine = MadeUpEngine(parallel=2)
    tally = await run(record, store, engine, Cancelling())
    assert not tally.complete
    assert 5 <= tally.units_done == engine.computed < len(list(record.units()))
    stored = await store.sweep(record.id)
    assert stored is not None
    assert stored.cancelled
    assert as_json(await run(record, store, MadeUpEngine())) == await undisturbed(record, tmp_path)
    stored = await store.sweep(record.id)
    assert stored is not None
    assert not stored.cancelled
    await asyncio.gather(store.close(), other.close())


@pytest.mark.asyncio
async def test_a_store_that_is_killed_and_comes_back(redis_server: RedisServer, tmp_path: Path) -> None:
    """Results wait, the runner pauses when there is no room for more, and nothing is lost or counted twice."""
    record, store, heard = made_record(IMAGES, unit_images=1), RedisSweepStore(redis_server.url), Heard()
    back: list[asyncio.Task[None]] = []

    def before(computed: int) -> None:
        if computed == 7:
            redis_server.kill()
            back.append(asyncio.create_task(restart()))

    async def restart() -> None:
        while not any("pausing" in notice for notice in heard.notices):
            await asyncio.sleep(0.01)
        stopped = engine.computed
        for _ in range(50):
            await asyncio.sleep(0)
        assert engine.computed - stopped <= engine.parallel
        await asyncio.to_thread(redis_server.start)

    engine = MadeUpEngine(parallel=2, before=before)
    tally = await run(record, store, engine, heard)
    await back[0]
    assert as_json(tally) == await undisturbed(record, tmp_path)
    assert engine.computed == len(list(record.units()))
    first, *_, last = heard.notices
    assert first.startswith("redis: ")
    assert first.endswith("waiting for the store, up to 60 s")
    assert last.startswith("store: back after ")
    assert heard.most_waiting == PATIENT.spool_units
    finished = await store.finished(record.id, limit=1000)
    assert len({unit.unit for unit in finished}) == len(finished) == engine.computed
    await store.close()


@pytest.mark.asyncio
async def test_a_store_that_comes_back_empty_gets_everything_again(tmp_path: Path) -> None:
    with running_redis() as server:
        record, store = made_record(IMAGES), RedisSweepStore(server.url)
        engine = MadeUpEngine(before=lambda computed: server.restart() if computed == 9 else None)
        tally = await run(record, store, engine)
        assert as_json(tally) == await undisturbed(record, tmp_path)
        assert engine.computed > len(list(record.units()))
        assert [sweep.id for sweep in await store.sweeps()] == [record.id]
        assert (await read_tally(record, store)).complete
        await store.close()


@pytest.mark.asyncio
async def test_a_store_that_stays_away_ends_it(redis_server: RedisServer, tmp_path: Path) -> None:
    record, store = made_record(IMAGES), RedisSweepStore(redis_server.url)
    engine = MadeUpEngine(before=lambda computed: redis_server.kill() if computed == 3 else None)
    with pytest.raises(StoreUnavailableError):
        await run(record, store, engine, limits=Limits(spool_units=4, patience_s=0.5))
    redis_server.start()
    assert as_json(await run(record, store, MadeUpEngine())) == await undisturbed(record, tmp_path)
    await store.close()
