# SPDX-License-Identifier: Apache-2.0
"""The cloud's receiver without HTTP, as a test can handle it: replicas on one store, in time that is set."""

import asyncio
import gc
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from manual_clock import ManualClock
from nodes import PATIENCE_S, PROFILE
from receiver_model import TILE, TTL_S, Arrival, Event, Oracle, Reply
from redis import Redis

from models.inference import Inference, choose_device
from models.receiver import Receiver
from models.weights import read_manifest
from service.compute import ComputeQueue
from service.errors import Refusal
from service.hop import Deadline
from service.models_on_node import ServedProfile
from service.nodes.cloud.engine import Engine, StateCache
from service.nodes.cloud.record import SessionRecord, decode
from service.nodes.cloud.sessions import ArrivedFrame, Limits, Sessions
from service.settings import CloudSettings
from service.stores import MemoryStore, RedisStore, ResilientStore, SessionStore, SqliteStore
from service.telemetry import Metrics

#: Where a caller is cut off: in the computation, before its result is written, after it.
Stage = Literal["computing", "before-write", "after-write"]
SETTINGS: Final = CloudSettings(stack_rows=TILE, tile=TILE)
PREFIX: Final = "spikelink:session"


class TimedStore(Protocol):
    """A store that several replicas can open, and whose time a test sets."""

    replicas: int
    forgetful: bool

    def open(self, clock: ManualClock) -> SessionStore:
        """A replica's own connection."""

    def passed(self, seconds: float) -> None:
        """Time has passed, for whoever does not look at the clock."""


class InMemory:
    """For one replica, with which it dies."""

    replicas, forgetful = 1, True

    def open(self, clock: ManualClock) -> SessionStore:
        return MemoryStore(clock=clock)

    def passed(self, seconds: float) -> None:
        """The clock says it."""


@dataclass
class InSqlite:
    """A file."""

    path: Path
    replicas, forgetful = 2, False

    def open(self, clock: ManualClock) -> SessionStore:
        return SqliteStore(self.path, clock=clock)

    def passed(self, seconds: float) -> None:
        """The clock says it."""


@dataclass
class InRedis:
    """A real server, whose own clock decides: what expires in time to come does so that much earlier."""

    url: str
    replicas, forgetful = 2, False

    def __post_init__(self) -> None:
        with Redis.from_url(self.url) as server:
            server.flushall()

    def open(self, clock: ManualClock) -> SessionStore:
        return RedisStore(self.url)

    def passed(self, seconds: float) -> None:
        with Redis.from_url(self.url) as server:
            for key in server.zrange(f"{PREFIX}-expiries", 0, -1):
                server.zincrby(f"{PREFIX}-expiries", -1000 * seconds, key)
                if (left_ms := server.pttl(key)) >= 0:
                    server.pexpire(key, int(left_ms - 1000 * seconds))

    def records(self) -> int:
        with Redis.from_url(self.url) as server:
            return len(server.keys(f"{PREFIX}:*"))


class CoreReplica:
    """One cloud without HTTP. What it holds in memory dies with it."""

    def __init__(self, oracle: Oracle, primary: SessionStore, clock: ManualClock) -> None:
        self.primary, self.cache = primary, StateCache(2**30, TTL_S, clock=clock)
        self.store = ResilientStore(primary, clock=clock)
        self.queue = ComputeQueue(SETTINGS, 1, Metrics())
        inference = Inference(choose_device("cpu"), tile=TILE)
        served = ServedProfile(PROFILE, read_manifest(PROFILE.name, oracle.folder), inference)
        engine = Engine(served, Receiver(oracle.networks, self.queue.stacked(inference)), self.cache)
        self.sessions = Sessions({PROFILE.name: engine}, self.store, self.queue, Limits(1000, TTL_S))

    async def reply(self, event: Event) -> Reply:
        try:
            if isinstance(event, Arrival):
                frame = event.frame
                arrived = ArrivedFrame(frame.head, frame.crossover, frame.payload)
                taken = await self.sessions.answer(arrived, Deadline.after(PATIENCE_S))
                return Reply(200, taken.answers, crossover=taken.crossover, replayed=taken.replayed)
            closed = await self.sessions.result(event.session, event.blocks, Deadline.after(PATIENCE_S))
            return Reply(200, results=closed.results)
        except Refusal as refusal:
            return Reply(refusal.status, expected_round=refusal.members.get("expected_round"))  # type: ignore[arg-type]

    def holds(self) -> list[tuple[str, int, int]]:
        """What is kept in memory, how much of it, and how much that may be after one session."""
        return [
            ("bytes of state", self.cache.size_bytes, 0),
            ("states", len(self.cache._entries), 0),
            ("copies of records", len(self.store._memory._entries), 1),
            ("records in memory", len(getattr(self.primary, "_entries", ())), 1),
            ("locks of sessions", len(self.sessions._locks), 0),
            ("locks of the store", len(self.store._locks), 0),
        ]

    async def rest(self) -> None:
        """Return when no computation runs: all of its threads are here."""
        here = threading.Barrier(TILE)
        await asyncio.gather(*(self.queue.run(Deadline.after(PATIENCE_S), here.wait) for _ in range(TILE)))

    async def close(self) -> None:
        self.queue.close()
        await self.store.close()


class CoreBench:
    """Replicas in an event loop of their own."""

    def __init__(self, oracle: Oracle, store: TimedStore) -> None:
        self.clock, self._store = ManualClock(), store
        self.size, self.forgetful = store.replicas, store.forgetful
        self._oracle = oracle
        self._loop = asyncio.new_event_loop()
        self.replicas = [self._replica() for _ in range(store.replicas)]

    def ask(self, calls: Sequence[tuple[int, Event]]) -> list[Reply]:
        """All at once."""

        async def together() -> list[Reply]:
            return await asyncio.gather(*(self.replicas[replica].reply(event) for replica, event in calls))

        return self._loop.run_until_complete(together())

    def cut_off(self, replica: int, event: Event, stage: Stage) -> Reply | None:
        """The reply of a call that is cancelled at a stage; None where it got so far."""
        chosen = self.replicas[replica]
        write = chosen.primary.swap

        async def run() -> Reply | None:
            task = asyncio.ensure_future(chosen.reply(event))

            async def cutting(*args: Any, **kwargs: Any) -> object:
                if stage == "before-write":
                    task.cancel()
                    await asyncio.sleep(0)
                swap = await write(*args, **kwargs)
                task.cancel()
                await asyncio.sleep(0)
                return swap

            if stage != "computing":
                chosen.primary.swap = cutting  # type: ignore[method-assign, assignment]
            else:
                while not task.done() and not chosen.queue._waiting:
                    await asyncio.sleep(0)
                task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                return None
            finally:
                chosen.primary.__dict__.pop("swap", None)

        return self._loop.run_until_complete(run())

    def pass_time(self, seconds: float) -> None:
        for replica in self.replicas:  # what goes on for a caller that has left belongs to the time before
            self._loop.run_until_complete(replica.rest())
        self.clock.now_s += seconds
        self._store.passed(seconds)

    def crash(self, replica: int) -> None:
        """It starts again with nothing but the store."""
        self._loop.run_until_complete(self.replicas[replica].close())
        self.replicas[replica] = self._replica()

    def record(self, session: str) -> SessionRecord | None:
        """What lies in the store that the replicas share."""
        stored = self._loop.run_until_complete(self.replicas[0].primary.load(session))
        return None if stored is None else decode(stored.value)

    def counted_bits(self) -> float:
        """Of frames that are new; metrics are counted by the application, which is not here."""
        return 0.0

    def left_over(self) -> list[str]:
        """What memory still holds besides one session a replica that has ended."""
        gc.collect()  # a cancelled task's traceback may hold a lock, in a circle
        return [
            f"{what} of replica {number}: {count}"
            for number, replica in enumerate(self.replicas)
            for what, count, most in replica.holds()
            if count > most
        ]

    def close(self) -> None:
        for replica in self.replicas:
            self._loop.run_until_complete(replica.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _replica(self) -> CoreReplica:
        return CoreReplica(self._oracle, self._store.open(self.clock), self.clock)
