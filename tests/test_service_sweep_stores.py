# SPDX-License-Identifier: Apache-2.0
"""One contract for every store of sweeps."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis_server import RedisServer, running_redis

from service.stores import StoreUnavailableError
from service.stores.sweeps import (
    SWEEP_STORES,
    FinishedUnit,
    RedisSweepStore,
    SqliteSweepStore,
    StoredSweep,
    SweepStore,
    default_sweep_store,
    open_sweep_store,
)

ROOT = Path(__file__).resolve().parents[1]
Make = Callable[[], SweepStore]


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Another store object on the same data at each call."""
    if request.param == "sqlite":
        return lambda: SqliteSweepStore(tmp_path / "sub" / "sweeps.sqlite3")
    server: RedisServer = request.getfixturevalue("redis_server")
    server.restart()  # empty again
    return lambda: RedisSweepStore(server.url)


def names(units: list[FinishedUnit]) -> list[str]:
    return [unit.unit for unit in units]


@pytest.mark.asyncio
async def test_a_sweep_stays_what_it_was_first(make: Make) -> None:
    store = make()
    await store.open()
    assert await store.sweeps() == []
    assert await store.sweep("a") is None
    for name in ("b", "a", "c"):
        await store.put_sweep(name, f"content of {name} \x00ü".encode())
    await store.put_sweep("a", b"something else")
    expected = [StoredSweep(name, f"content of {name} \x00ü".encode(), False) for name in ("b", "a", "c")]
    assert await store.sweeps() == expected
    assert await store.sweep("a") == expected[1]
    await store.ping()
    await store.close()


@pytest.mark.asyncio
async def test_cancelling_can_be_taken_back(make: Make) -> None:
    here, there = make(), make()
    await here.put_sweep("a", b"a")
    for cancelled in (True, True, False, True):
        await here.set_cancelled("a", cancelled)
        assert await there.sweep("a") == StoredSweep("a", b"a", cancelled)
    await here.put_sweep("a", b"again")
    assert await there.sweep("a") == StoredSweep("a", b"a", True)
    await here.set_cancelled("unknown", True)
    assert await here.sweep("unknown") is None
    assert len(await here.sweeps()) == 1
    await asyncio.gather(here.close(), there.close())


@pytest.mark.asyncio
async def test_a_unit_finishes_once_however_often_it_is_said(make: Make) -> None:
    store = make()
    await store.put_sweep("a", b"")
    await store.finish("a", "u1", b"one")
    first = await store.finished("a")
    await store.finish("a", "u1", b"one")
    await store.finish("a", "u1", b"another result")
    assert await store.finished("a") == first == [FinishedUnit(first[0].sequence, "u1", b"one")]
    assert await store.results(["u1", "u2"]) == {"u1": b"one"}
    await store.close()


@pytest.mark.asyncio
async def test_sweeps_share_their_units(make: Make) -> None:
    store = make()
    for sweep in "ab":
        await store.put_sweep(sweep, b"")
    await store.finish("a", "u1", b"one")
    assert await store.finished("b") == []
    await store.finish("b", "u1", b"whatever")
    (of_a,), (of_b,) = await store.finished("a"), await store.finished("b")
    assert (of_a.result, of_b.result) == (b"one", b"one")
    assert of_b.sequence > of_a.sequence
    await store.close()


@pytest.mark.asyncio
async def test_reading_on_misses_none_and_meets_none_twice(make: Make) -> None:
    store = make()
    await asyncio.gather(store.put_sweep("a", b""), store.put_sweep("b", b""))
    for number in range(7):
        await store.finish("ab"[number % 2], f"u{number}", bytes([number]))
    read: list[FinishedUnit] = []
    while more := await store.finished("a", after=read[-1].sequence if read else 0, limit=3):
        assert len(more) <= 3
        read += more
    assert names(read) == ["u0", "u2", "u4", "u6"]
    sequences = [unit.sequence for unit in read + await store.finished("b")]
    assert len(set(sequences)) == 7
    assert [unit.sequence for unit in read] == sorted(unit.sequence for unit in read)
    await store.finish("a", "u0", b"late")
    assert await store.finished("a", after=read[-1].sequence) == []
    await store.close()


@pytest.mark.asyncio
async def test_writers_at_once_leave_a_reader_without_gaps(make: Make) -> None:
    stores = [make() for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    await stores[0].put_sweep("a", b"")
    done = asyncio.Event()
    read: list[FinishedUnit] = []

    async def follow() -> None:
        while not done.is_set() or await stores[2].finished("a", after=read[-1].sequence if read else 0):
            read.extend(await stores[2].finished("a", after=read[-1].sequence if read else 0, limit=4))

    async def write(store: SweepStore, first: int) -> None:
        for number in range(first, 60, 2):
            await asyncio.gather(*(store.finish("a", f"u{number - back}", b"r") for back in (0, 1) if number >= back))

    follower = asyncio.create_task(follow())
    await asyncio.gather(write(stores[0], 0), write(stores[1], 1))
    done.set()
    await follower
    assert sorted(names(read)) == sorted(f"u{number}" for number in range(60))
    assert [unit.sequence for unit in read] == sorted({unit.sequence for unit in read})
    await asyncio.gather(*(store.close() for store in stores))


@pytest.mark.asyncio
async def test_many_names_at_once(make: Make) -> None:
    store = make()
    await store.put_sweep("a", b"")
    for number in range(0, 1200, 40):
        await store.finish("a", f"u{number}", b"%d" % number)
    found = await store.results([f"u{number}" for number in range(1200)])
    assert found == {f"u{number}": b"%d" % number for number in range(0, 1200, 40)}
    assert await store.results([]) == {}
    await store.close()


FINISH = """
import asyncio, sys
from pathlib import Path
from service.stores.sweeps import SqliteSweepStore

async def main() -> None:
    store = SqliteSweepStore(Path(sys.argv[1]))
    await store.open()
    await store.put_sweep("a", b"")
    for number in range(40):
        await store.finish("a", f"u{number}", b"r")
    await store.close()

asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sweeps.sqlite3"
    processes = [
        subprocess.Popen([sys.executable, "-c", FINISH, str(path)], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    store = SqliteSweepStore(path)
    assert names(await store.finished("a")) == [f"u{number}" for number in range(40)]
    await store.close()


@pytest.mark.asyncio
async def test_a_store_that_is_away_says_so_and_heals(tmp_path: Path) -> None:
    with running_redis(appendonly=True) as server:
        store = RedisSweepStore(server.url)
        await store.put_sweep("a", b"")
        await store.finish("a", "u1", b"one")
        server.kill()
        with pytest.raises(StoreUnavailableError):
            await store.finish("a", "u2", b"two")
        server.start()
        await store.finish("a", "u2", b"two")
        assert names(await store.finished("a")) == ["u1", "u2"]
        await store.close()


@pytest.mark.asyncio
async def test_half_a_finish_does_not_exist(tmp_path: Path) -> None:
    """The second of the two writes fails: the first must not be there either."""
    path = tmp_path / "sweeps.sqlite3"
    store = SqliteSweepStore(path)
    await store.put_sweep("a", b"")
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON finished BEGIN SELECT RAISE(ABORT, 'no room'); END")
    with pytest.raises(StoreUnavailableError, match="no room"):
        await store.finish("a", "u1", b"one")
    assert await store.results(["u1"]) == {}
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER full")
    await store.finish("a", "u1", b"one")
    assert names(await store.finished("a")) == ["u1"]
    await store.close()


@pytest.mark.parametrize(
    ("url", "name"),
    [("sqlite:///var/sweeps.sqlite3", "sqlite"), ("redis://localhost:6379/0", "redis"), ("rediss://h/1", "rediss")],
)
def test_a_url_opens_the_store_it_names(url: str, name: str) -> None:
    assert type(open_sweep_store(url)) is SWEEP_STORES[name]


def test_the_default_lies_beside_the_sessions() -> None:
    assert isinstance(open_sweep_store(default_sweep_store()), SqliteSweepStore)


@pytest.mark.parametrize("url", ["", "sweeps.sqlite3", "sqlite:///", "redis://:secret@host/zero", "memory://"])
def test_any_other_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^store URL: ") as refused:
        open_sweep_store(url)
    assert "secret" not in str(refused.value)
