# SPDX-License-Identifier: Apache-2.0
"""What becomes of sessions when their store goes away and returns, whole, behind, empty, or silent after a write.

A session's value here is the text of its rounds, one letter each, so that a lost or doubled round shows.
"""

import asyncio
import time

import pytest
from faulty_store import Faulty
from manual_clock import ManualClock
from redis_server import running_redis
from store_storm import Storm

from service.stores import MemoryStore, RedisStore, ResilientStore, Stored, StoreUnavailableError

TTL_S = 600.0
NOTICE_S = 3.0  # by when a dead server must have been noticed
PROBE_S = 5.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def primary(clock: ManualClock) -> Faulty:
    return Faulty(clock)


@pytest.fixture
def node(primary: Faulty, clock: ManualClock) -> ResilientStore:
    return ResilientStore(primary, probe_s=PROBE_S, clock=clock)


@pytest.fixture
def other(primary: Faulty, clock: ManualClock) -> ResilientStore:
    return ResilientStore(primary, probe_s=PROBE_S, clock=clock)


async def rounds(store: ResilientStore | MemoryStore, key: str = "a") -> str | None:
    stored = await store.load(key)
    return stored.value.decode() if stored else None


async def add(store: ResilientStore, letter: str, key: str = "a", *, durable: bool = True) -> Stored:
    """One round more, and the record as it was before."""
    before = await store.load(key) or Stored(b"", 0)
    swap = await store.swap(key, before.value + letter.encode(), expected=before.version or None, ttl_s=TTL_S)
    assert (swap.done, swap.durable) == (True, durable)
    assert swap.version > before.version
    return before


def end_outage(primary: Faulty, clock: ManualClock) -> None:
    primary.down = False
    clock.now_s += PROBE_S


@pytest.mark.asyncio
@pytest.mark.parametrize("appendonly", [True, False])
async def test_sessions_go_on_while_redis_is_killed_and_restarted(appendonly: bool) -> None:
    clock = ManualClock()
    with running_redis(appendonly=appendonly) as server:
        node = ResilientStore(RedisStore(server.url), probe_s=PROBE_S, clock=clock)
        await node.open()
        await add(node, "1")
        await add(node, "1", "idle")
        assert node.durable
        server.kill()
        started_s = time.monotonic()
        await add(node, "2", durable=False)
        assert time.monotonic() - started_s < 2 * NOTICE_S
        await add(node, "1", "new", durable=False)
        assert not node.durable
        assert await node.load("unknown") is None
        assert await node.count() == 3
        server.start()
        clock.now_s += PROBE_S
        await node.ping()
        assert node.durable
        await add(node, "3")
        await add(node, "2", "idle")
        assert await rounds(node, "new") == "1"
        reader = RedisStore(server.url)
        for key, value in {"a": b"123", "idle": b"12", "new": b"1"}.items():
            stored = await node.load(key)
            assert stored is not None
            assert stored.value == value
            assert await reader.load(key) == stored
        assert await node.count() == 3
        await asyncio.gather(node.close(), reader.close())


@pytest.mark.asyncio
async def test_a_node_may_start_without_its_store(node: ResilientStore, primary: Faulty, clock: ManualClock) -> None:
    primary.down = True
    await node.open()
    await add(node, "1", durable=False)
    end_outage(primary, clock)
    await add(node, "2")
    assert await rounds(primary) == "12"


@pytest.mark.asyncio
async def test_one_call_in_a_while_asks_whether_the_store_is_back(
    node: ResilientStore, primary: Faulty, clock: ManualClock
) -> None:
    primary.down = True
    await asyncio.gather(*(node.load("a") for _ in range(5)))
    asked = primary.asked
    for _ in range(10):
        await asyncio.gather(node.ping(), node.load("a"), node.count())
    assert primary.asked == asked
    clock.now_s += PROBE_S
    await asyncio.gather(*(node.load(f"{i}") for i in range(10)))
    assert primary.asked == asked + 1
    assert not node.durable


@pytest.mark.asyncio
async def test_a_write_whose_reply_was_lost_is_known_as_our_own(
    node: ResilientStore, primary: Faulty, clock: ManualClock
) -> None:
    await add(node, "1")
    primary.lose_reply = True
    await add(node, "2", durable=False)
    assert await rounds(node) == "12"
    await add(node, "3", durable=False)
    end_outage(primary, clock)
    await add(node, "4")
    assert await rounds(primary) == "1234"
    primary.lose_reply = True
    await add(node, "1", "new", durable=False)
    end_outage(primary, clock)
    await add(node, "2", "new")
    assert await rounds(primary, "new") == "12"


@pytest.mark.asyncio
async def test_a_write_whose_caller_left_is_known_as_our_own(
    node: ResilientStore, primary: Faulty, clock: ManualClock
) -> None:
    await add(node, "1")
    primary.never_reply = True
    left = asyncio.create_task(add(node, "2"))
    while await MemoryStore.load(primary, "a") == await node._memory.load("a"):
        await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    primary.never_reply, primary.down = False, True
    await add(node, "3", durable=False)
    end_outage(primary, clock)
    await add(node, "4")
    assert await rounds(primary) == "1234"


@pytest.mark.asyncio
async def test_in_an_outage_too_the_version_must_fit(node: ResilientStore, primary: Faulty) -> None:
    await add(node, "1")
    primary.down = True
    held = await node.load("a")
    assert held is not None
    for key, expected in (("a", held.version + 1), ("a", None), ("unknown", 1)):
        assert not await node.swap(key, b"x", expected=expected, ttl_s=TTL_S)
    assert await node.load("a") == held


@pytest.mark.asyncio
@pytest.mark.parametrize("node_goes_on", [True, False])
async def test_of_two_branches_one_survives_whole(
    node: ResilientStore, other: ResilientStore, primary: Faulty, clock: ManualClock, node_goes_on: bool
) -> None:
    await add(node, "1")
    await add(other, "2")
    assert await rounds(node) == "12"  # seen, so remembered
    primary.down = True
    await add(node, "n", durable=False)
    await add(other, "o", durable=False)
    before = await other.load("a")
    assert before is not None
    assert before.value == b"12o"
    end_outage(primary, clock)
    assert await rounds(node) == "12n"
    if node_goes_on:
        await add(node, "N")
    assert not await other.swap("a", b"12oO", expected=before.version, ttl_s=TTL_S)
    expected = "12nN" if node_goes_on else "12n"
    assert await rounds(other) == await rounds(node) == await rounds(primary) == expected


@pytest.mark.asyncio
async def test_a_late_writer_does_not_win_because_the_store_is_behind(
    node: ResilientStore, primary: Faulty, clock: ManualClock
) -> None:
    await add(node, "1")
    primary.down = True
    before = await add(node, "2", durable=False)
    end_outage(primary, clock)
    assert not await node.swap("a", b"1x", expected=before.version, ttl_s=TTL_S)
    assert not await node.swap("a", b"x", expected=None, ttl_s=TTL_S)
    assert await rounds(node) == await rounds(primary) == "12"


@pytest.mark.asyncio
@pytest.mark.parametrize("lost_all", [True, False])
async def test_a_store_that_lost_its_last_second_catches_up(
    node: ResilientStore, other: ResilientStore, primary: Faulty, lost_all: bool
) -> None:
    await add(node, "1")
    before = await add(node, "2")
    primary.forget("a", None if lost_all else before)
    await add(node, "3")  # by way of load
    held = await node.load("a")
    assert held is not None
    primary.forget("a", None if lost_all else before)
    assert await node.swap("a", b"1234", expected=held.version, ttl_s=TTL_S)  # by way of swap alone
    assert await rounds(other) == await rounds(primary) == "1234"


@pytest.mark.asyncio
async def test_what_another_node_wrote_is_never_overwritten_by_a_copy(
    node: ResilientStore, other: ResilientStore, primary: Faulty
) -> None:
    await add(node, "1")
    first = await node.load("a")
    assert first is not None
    await add(other, "2")
    assert not await node.swap("a", b"1x", expected=first.version, ttl_s=TTL_S)
    primary.down = True
    assert await rounds(node) == await rounds(other) == "12"  # the lost race taught it


@pytest.mark.asyncio
async def test_memory_gives_up_copies_before_sessions(primary: Faulty, clock: ManualClock) -> None:
    node = ResilientStore(primary, limit=2, probe_s=PROBE_S, clock=clock)
    for key in ("old", "older", "newest"):
        await add(node, "1", key)
    primary.down = True
    for key in ("x", "y"):
        await add(node, "1", key, durable=False)
    assert await node.load("newest") is None
    with pytest.raises(StoreUnavailableError, match="full"):
        await node.swap("z", b"1", expected=None, ttl_s=TTL_S)
    await add(node, "2", "x", durable=False)
    end_outage(primary, clock)
    await add(node, "2", "newest")
    assert await rounds(node, "x") == "12"


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(50))
async def test_no_round_is_lost_or_doubled_whatever_fails(
    node: ResilientStore, primary: Faulty, clock: ManualClock, seed: int
) -> None:
    """A round is in the record once if its write was done, and else not. Cancelled, it may be either."""
    storm = Storm(node, primary, clock, seed)
    await asyncio.gather(storm.break_things(), *(storm.write(writer) for writer in range(4)))
    primary.lose_reply = False
    end_outage(primary, clock)
    for key, names in storm.done.items():
        record = await rounds(node, key)
        assert record is not None
        assert record == await rounds(primary, key)
        assert sorted(name for name in record.split() if name not in storm.unknown) == sorted(names)
        assert len(set(record.split())) == len(record.split())
    assert sum(map(len, storm.done.values())) > 20
