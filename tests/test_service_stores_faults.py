# SPDX-License-Identifier: Apache-2.0
"""Each session store by itself: processes at once, upkeep, cancelled callers, and what its failures look like."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from manual_clock import ManualClock
from redis_server import running_redis

from service.stores import MemoryStore, RedisStore, SessionStore, SqliteStore, Stored, StoreUnavailableError, Swap

ROOT = Path(__file__).resolve().parents[1]
TTL_S = 600.0
PATIENCE_S = 10.0
NOTICE_S = 3.0  # by when a dead server must have been noticed


async def create(store: SessionStore, key: str, value: bytes = b"1", ttl_s: float = TTL_S) -> None:
    assert await store.swap(key, value, expected=None, ttl_s=ttl_s)


COUNT_UP = """
import asyncio, sys
from pathlib import Path
from service.stores import SqliteStore

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    done = 0
    while done < 50:
        stored = await store.load("counter")
        value, expected = (b"0", None) if stored is None else (stored.value, stored.version)
        done += bool(await store.swap("counter", b"%d" % (int(value) + 1), expected=expected, ttl_s=600.0))
    await store.close()

asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_sqlite_processes_lose_no_update(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sessions.sqlite3"
    command = [sys.executable, "-c", COUNT_UP, str(path)]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    store = SqliteStore(path)
    assert await store.load("counter") == Stored(b"200", 200)
    await store.close()


@pytest.mark.asyncio
async def test_sqlite_deletes_what_has_expired(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "sessions.sqlite3"
    store = SqliteStore(path, clock=clock)
    for i in range(10):
        await create(store, f"s{i}", ttl_s=1.0)
    clock.now_s += TTL_S
    await create(store, "last")
    await store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT key FROM sessions").fetchall() == [("last",)]
    db.close()


@pytest.mark.asyncio
async def test_redis_keeps_nothing_of_expired_sessions() -> None:
    with running_redis() as server:
        store = RedisStore(server.url)
        for i in range(5):
            await create(store, f"s{i}", ttl_s=0.001)
        deadline_s = time.monotonic() + PATIENCE_S
        while await store.count() or await store._client.keys("*"):
            assert time.monotonic() < deadline_s
        await store.close()


@pytest.mark.asyncio
async def test_a_cancelled_redis_call_leaves_no_answer_for_the_next() -> None:
    with running_redis() as server:
        store = RedisStore(server.url)
        for key in "ab":
            await create(store, key, key.encode())
        rng = random.Random(0)
        for _ in range(30):
            calls = [asyncio.create_task(store.load("a")) for _ in range(40)]
            for _ in range(rng.randrange(12)):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            answers = await asyncio.gather(*(store.load("b") for _ in range(40)))
            assert answers == [Stored(b"b", 1)] * 40
        await store.close()


@pytest.mark.asyncio
async def test_memory_refuses_rather_than_forgets() -> None:
    clock = ManualClock()
    store = MemoryStore(limit=3, clock=clock)
    await create(store, "short", ttl_s=1.0)
    for key in "ab":
        await create(store, key)
    with pytest.raises(StoreUnavailableError, match="full with 3 live sessions"):
        await create(store, "c")
    assert await store.swap("a", b"2", expected=1, ttl_s=TTL_S)  # one that lives there goes on
    clock.now_s += 1.0
    await create(store, "c")
    assert [await store.load(key) is not None for key in ("short", "a", "b", "c")] == [False, True, True, True]


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_redis_gone_is_noticed_in_time_and_back_again(fault: str) -> None:
    with running_redis(appendonly=True) as server:
        store = RedisStore(server.url)
        await store.open()
        assert await store.swap("a", b"1", expected=None, ttl_s=TTL_S)
        (server.kill if fault == "kill" else server.freeze)()
        started_s = time.monotonic()
        calls = [store.swap("a", b"2", expected=1, ttl_s=TTL_S), store.count(), store.ping()]
        calls += [store.load("a") for _ in range(60)]  # more than there are connections: waiting for one counts too
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {StoreUnavailableError}
        assert time.monotonic() - started_s < NOTICE_S
        (server.start if fault == "kill" else server.thaw)()
        await store.open()
        stored = await store.load("a")
        assert stored is not None
        assert await store.swap("a", b"3", expected=stored.version, ttl_s=TTL_S)
        assert await store.count() == 1
        await store.close()


@pytest.mark.asyncio
async def test_redis_that_never_was_is_unavailable_and_closes() -> None:
    with running_redis() as server:
        url = server.url
    store = RedisStore(url)
    with pytest.raises(StoreUnavailableError, match="redis"):
        await store.open()
    await store.close()


@pytest.mark.asyncio
async def test_redis_that_is_full_is_unavailable_and_changes_nothing() -> None:
    with running_redis() as server:
        store = RedisStore(server.url)
        await create(store, "a")
        await store._client.config_set("maxmemory", "1")
        with pytest.raises(StoreUnavailableError, match="maxmemory"):
            await store.swap("a", b"2", expected=1, ttl_s=TTL_S)
        await store._client.config_set("maxmemory", "0")
        assert await store.load("a") == Stored(b"1", 1)
        await store.close()


@asynccontextmanager
async def losing_one_reply(url: str, command: bytes) -> AsyncIterator[str]:
    """A proxy before Redis that passes the first `command` on, waits for the reply, and hangs up instead."""
    target = urlsplit(url)
    armed = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal armed
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port)
        while request := await reader.read(65536):
            up_writer.write(request)
            reply = await up_reader.read(65536)
            if armed and command in request and not reply.startswith(b"-"):
                armed = False
                break
            writer.write(reply)
        for end in (writer, up_writer):
            end.close()
            await end.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    assert not armed, "no reply was lost"


@pytest.mark.asyncio
async def test_a_write_that_redis_py_repeats_is_not_taken_for_a_lost_race() -> None:
    with running_redis() as server:
        async with losing_one_reply(server.url, b"EVALSHA") as url:
            store = RedisStore(url)
            assert await store.swap("a", b"1", expected=None, ttl_s=TTL_S) == Swap(True, True, 1)
            assert await store.load("a") == Stored(b"1", 1)
            await store.close()


@pytest.mark.asyncio
async def test_sqlite_without_its_folder_or_with_a_corrupt_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"this is no database " * 100)
    for path in (tmp_path / "file" / "sessions.sqlite3", tmp_path / "file"):
        store = SqliteStore(path)
        with pytest.raises(StoreUnavailableError, match=str(path)):
            await store.open()
        await store.close()
        await store.close()
        with pytest.raises(StoreUnavailableError, match="closed"):
            await store.load("a")


@pytest.mark.asyncio
async def test_sqlite_locked_or_full_is_unavailable_and_heals(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    store = SqliteStore(path)
    assert await store.swap("a", b"1", expected=None, ttl_s=TTL_S)
    hog = sqlite3.connect(path, isolation_level=None)
    hog.execute("BEGIN IMMEDIATE")
    assert await store.load("a") == Stored(b"1", 1)  # readers do not wait
    started_s = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="locked"):
        await store.swap("a", b"2", expected=1, ttl_s=TTL_S)
    assert time.monotonic() - started_s < NOTICE_S
    hog.execute("ROLLBACK")
    hog.close()
    await store._run(lambda db: db.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(StoreUnavailableError, match="full"):
        await store.swap("big", bytes(100_000), expected=None, ttl_s=TTL_S)
    assert await store.load("a") == Stored(b"1", 1)
    await create(store, "big", bytes(100_000))  # the connection is a new one, without that bound
    await store.close()


@pytest.mark.asyncio
async def test_sqlite_waits_while_another_process_sets_up_the_same_new_file(tmp_path: Path) -> None:
    """SQLite refuses the change to WAL at once where another connection is about to write, whatever its time-out."""
    path = tmp_path / "sessions.sqlite3"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite3.connect(path).execute("PRAGMA journal_mode = WAL")
    store = SqliteStore(path)
    opening = asyncio.create_task(store.open())
    await asyncio.wait([opening], timeout=0.2)
    assert not opening.done()
    other.execute("ROLLBACK")
    await opening
    assert await store.count() == 0
    await store.close()
    other.close()
