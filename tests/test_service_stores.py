# SPDX-License-Identifier: Apache-2.0
"""One contract for every session store, and what `ResilientStore` adds to it.

Time is a number that the tests advance, except in Redis, whose clock is its own: there they wait for the event itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from manual_clock import ManualClock
from redis_server import RedisServer, running_redis

from service.stores import (
    STORES,
    MemoryStore,
    RedisStore,
    ResilientStore,
    SessionStore,
    SqliteStore,
    Stored,
    Swap,
    open_store,
)

TTL_S = 600.0
SHORT_S = 0.2  # really waited for in Redis
PATIENCE_S = 10.0


@dataclass
class Backend:
    """`make` gives another store object, on the same data where ``shared``; `outlast` lets at least `SHORT_S` pass."""

    make: Callable[[], SessionStore]
    outlast: Callable[[SessionStore, str], Awaitable[None]]
    shared: bool = True


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def backend(kind: str, path: Path, request: pytest.FixtureRequest) -> Backend:
    clock = ManualClock()

    async def advance(store: SessionStore, key: str) -> None:
        clock.now_s += SHORT_S

    async def wait(store: SessionStore, key: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while await store.load(key) is not None:
            assert time.monotonic() < deadline_s, "the record does not expire"
            await asyncio.sleep(0.01)

    if kind.endswith("sqlite"):
        plain = Backend(lambda: SqliteStore(path / "sub" / "sessions.sqlite3", clock=clock), advance)
    elif kind.endswith("redis"):
        server: RedisServer = request.getfixturevalue("redis_server")
        server.restart()  # empty again
        plain = Backend(lambda: RedisStore(server.url), wait)
    else:
        plain = Backend(lambda: MemoryStore(clock=clock), advance, shared=False)
    if not kind.startswith("resilient"):
        return plain
    # Over Redis the copies in memory age by the real clock, as their originals do.
    own_clock = time.monotonic if kind.endswith("redis") else clock
    return Backend(lambda: ResilientStore(plain.make(), clock=own_clock), plain.outlast, plain.shared)


@pytest.fixture(params=["sqlite", "redis", "memory", "resilient-sqlite", "resilient-redis", "resilient-memory"])
def any_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return backend(request.param, tmp_path, request)


@pytest.fixture(params=["sqlite", "redis", "resilient-sqlite", "resilient-redis"])
def shared_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return backend(request.param, tmp_path, request)


async def create(store: SessionStore, key: str, value: bytes = b"1", ttl_s: float = TTL_S) -> int:
    """Create a session; its version."""
    swap = await store.swap(key, value, expected=None, ttl_s=ttl_s)
    assert swap
    return swap.version


@pytest.mark.asyncio
async def test_create_then_advance(any_backend: Backend) -> None:
    store = any_backend.make()
    await store.open()
    assert await store.load("a") is None
    first = await create(store, "a", b"one")
    assert await store.load("a") == Stored(b"one", first)
    second = await store.swap("a", b"two", expected=first, ttl_s=TTL_S)
    assert second.done
    assert second.version > first
    assert second.durable == store.durable == (store.name != "memory")
    assert await store.load("a") == Stored(b"two", second.version)
    await store.ping()
    await store.close()


@pytest.mark.asyncio
async def test_a_write_on_the_wrong_version_changes_nothing(any_backend: Backend) -> None:
    store = any_backend.make()
    await store.open()
    first = await create(store, "a", b"one")
    held = Stored(b"two", (await store.swap("a", b"two", expected=first, ttl_s=TTL_S)).version)
    for wrong in (None, first, held.version + 1, 0):
        assert not await store.swap("a", b"wrong", expected=wrong, ttl_s=TTL_S)
    assert not await store.swap("unknown", b"wrong", expected=1, ttl_s=TTL_S)
    assert await store.load("a") == held
    assert await store.load("unknown") is None
    await store.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["sqlite", "redis", "memory"])
async def test_versions_count_up_from_one_unless_named(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = backend(kind, tmp_path, request).make()
    await store.open()
    assert await create(store, "a") == 1
    assert await store.swap("a", b"2", expected=1, ttl_s=TTL_S) == Swap(True, store.durable, 2)
    far = 2**53 + 1  # not a double
    assert await store.swap("a", b"3", expected=2, ttl_s=TTL_S, version=far) == Swap(True, store.durable, far)
    assert await store.load("a") == Stored(b"3", far)
    assert not await store.swap("a", b"4", expected=2**53, ttl_s=TTL_S)
    await store.close()


@pytest.mark.asyncio
async def test_of_fifty_writers_one_wins_each_version(any_backend: Backend) -> None:
    first, second = any_backend.make(), any_backend.make()
    stores = [first, second] if any_backend.shared else [first]
    for store in stores:
        await store.open()
    version = await create(first, "a")
    for _ in range(3):
        writers = [stores[i % len(stores)].swap("a", b"%d" % i, expected=version, ttl_s=TTL_S) for i in range(50)]
        swaps = await asyncio.gather(*writers)
        winners = [i for i, swap in enumerate(swaps) if swap]
        assert len(winners) == 1
        version = swaps[winners[0]].version
        for store in stores:
            assert await store.load("a") == Stored(b"%d" % winners[0], version)
    creations = [stores[i % len(stores)].swap("b", b"", expected=None, ttl_s=TTL_S) for i in range(50)]
    assert sum(map(bool, await asyncio.gather(*creations))) == 1
    await asyncio.gather(first.close(), second.close())


@pytest.mark.asyncio
async def test_an_expired_session_counts_as_absent(any_backend: Backend) -> None:
    store = any_backend.make()
    await store.open()
    version = await create(store, "short", ttl_s=SHORT_S)
    await create(store, "long")
    await any_backend.outlast(store, "short")
    assert await store.load("short") is None
    assert await store.load("long") is not None
    assert await store.count() == 1
    assert not await store.swap("short", b"late", expected=version, ttl_s=TTL_S)
    await create(store, "short", b"anew")
    assert await store.count() == 2
    await store.close()


@pytest.mark.asyncio
async def test_a_write_renews_the_time_to_live(any_backend: Backend) -> None:
    store = any_backend.make()
    await store.open()
    version = await create(store, "renewed", ttl_s=SHORT_S)
    assert await store.swap("renewed", b"2", expected=version, ttl_s=TTL_S)
    await create(store, "sibling", ttl_s=SHORT_S)  # younger than the first, so gone after it would be
    await any_backend.outlast(store, "sibling")
    assert await store.load("renewed") is not None
    assert await store.count() == 1
    await store.close()


@pytest.mark.asyncio
async def test_a_lost_race_does_not_renew(any_backend: Backend) -> None:
    store = any_backend.make()
    await store.open()
    version = await create(store, "a", ttl_s=SHORT_S)
    assert not await store.swap("a", b"2", expected=version + 1, ttl_s=TTL_S)
    await any_backend.outlast(store, "a")
    assert await store.load("a") is None
    assert await store.count() == 0
    await store.close()


@pytest.mark.asyncio
async def test_count_is_of_sessions_not_of_writes(any_backend: Backend) -> None:
    store = any_backend.make()
    await store.open()
    assert await store.count() == 0
    for i in range(20):
        version = await create(store, f"s{i}")
        await store.swap(f"s{i}", b"2", expected=version, ttl_s=TTL_S)
    assert await store.count() == 20
    await store.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("value", [b"", bytes(range(256)) * 4, b"\x00\r\n\xff", "ü".encode()])
async def test_any_bytes_come_back(any_backend: Backend, value: bytes) -> None:
    store = any_backend.make()
    await store.open()
    version = await create(store, "session:with:colons-and ünïcode", value)
    assert await store.load("session:with:colons-and ünïcode") == Stored(value, version)
    await store.close()


@pytest.mark.asyncio
async def test_two_clients_share_their_sessions(shared_backend: Backend) -> None:
    here, there = shared_backend.make(), shared_backend.make()
    await asyncio.gather(here.open(), there.open())
    first = await create(here, "a", b"one")
    assert await there.load("a") == Stored(b"one", first)
    second = await there.swap("a", b"two", expected=first, ttl_s=TTL_S)
    assert not await here.swap("a", b"also two", expected=first, ttl_s=TTL_S)
    assert await here.load("a") == Stored(b"two", second.version)
    assert (await here.swap("a", b"three", expected=second.version, ttl_s=TTL_S)).done
    assert await there.count() == 1
    await here.close()
    reopened = shared_backend.make()
    await reopened.open()
    loaded = await reopened.load("a")
    assert loaded is not None
    assert loaded.value == b"three"
    await asyncio.gather(there.close(), reopened.close())


# The catalogue ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///var/lib/spikelink/sessions.sqlite3", "sqlite"),
        ("redis://localhost:6379/0", "redis"),
        ("redis://:secret@localhost", "redis"),
        ("rediss://user:secret@localhost:6380/1", "rediss"),
        ("memory://", "memory"),
    ],
)
def test_a_url_opens_the_store_it_names(url: str, name: str) -> None:
    assert type(open_store(url)) is STORES[name]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sessions.sqlite3",
        "/var/sessions.sqlite3",
        "sqlite://sessions.sqlite3",
        "sqlite:///",
        "sqlite:/var/sessions.sqlite3",
        "sqlite:///var/folder/",
        "redis://",
        "redis://:secret@host:port/0",
        "redis://:secret@host/zero",
        "redis://:secret@host/0?socket_timeout=99",
        "memory://somewhere",
        "postgres://user:secret@host/db",
    ],
)
def test_any_other_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^store URL: ") as refused:
        open_store(url)
    assert "secret" not in str(refused.value)
