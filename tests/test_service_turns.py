# SPDX-License-Identifier: Apache-2.0
"""Computations that nobody waits for any more: they count for as long as they have a thread, and their passes go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import torch
from nodes import until
from passing_deadline import Passing
from torch import Tensor

from models.inference import Inference
from service.compute import ComputeQueue
from service.errors import Busy, PeerTimedOut
from service.hop import Deadline
from service.settings import CloudSettings
from service.telemetry import Metrics

PATIENCE_S = 60.0
INFERENCE = Inference(torch.device("cpu"), tile=1)
ONE = torch.ones(1, 1)


@dataclass(eq=False)
class Network:
    """Notes the values of what it computes; it goes on when it may."""

    go_on: threading.Event = field(default_factory=threading.Event)
    seen: list[float] = field(default_factory=list)

    def run(self, x: Tensor) -> tuple[Tensor]:
        self.seen += x[:, 0].tolist()
        assert self.go_on.wait(PATIENCE_S)
        return (x,)


@dataclass(frozen=True)
class Bench:
    """A queue whose lanes are busy with 1.0 until the network may go on."""

    queue: ComputeQueue
    network: Network

    def pass_(self, value: float, deadline: Deadline) -> "asyncio.Task[tuple[Tensor, ...]]":
        stacked = self.queue.stacked(INFERENCE)
        return asyncio.create_task(self.queue.run(deadline, stacked.run, self.network.run, value * ONE))

    async def waiting(self, passes: int) -> None:
        await asyncio.to_thread(until, lambda: len(self.queue._passes._waiting) == passes, f"{passes} passes to wait")

    async def computing(self, count: int) -> None:
        await asyncio.to_thread(until, lambda: self.queue._waiting == count, f"{count} computations")


@asynccontextmanager
async def busy(lanes: int = 1) -> AsyncIterator[Bench]:
    bench = Bench(ComputeQueue(CloudSettings(max_waiting=1), lanes, Metrics()), Network())
    first = bench.pass_(1.0, Deadline.after(PATIENCE_S))
    await asyncio.to_thread(until, lambda: bench.network.seen == [1.0], "the first pass")
    try:
        yield bench
    finally:
        bench.network.go_on.set()
        await first
        await asyncio.to_thread(bench.queue.close)


async def cancelled(task: "asyncio.Task[tuple[Tensor, ...]]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_S))


def test_what_is_given_up_counts_while_it_has_a_thread() -> None:
    """Of callers that leave at once, any number could keep the threads of a node that called itself idle."""

    async def given_up() -> None:
        async with busy() as bench:
            bench.queue.check_room()
            second = bench.pass_(2.0, Deadline.after(PATIENCE_S))
            await bench.waiting(1)
            await cancelled(second)
            with pytest.raises(Busy, match=r"^2 computations"):
                bench.queue.check_room()
            bench.network.go_on.set()
            await bench.computing(0)
            bench.queue.check_room()

    run(given_up())


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_pass_that_waits_goes_with_its_caller(lanes: int) -> None:
    async def leaving() -> None:
        async with busy(lanes) as bench:
            left, stays = (bench.pass_(value, Deadline.after(PATIENCE_S)) for value in (2.0, 3.0))
            await bench.waiting(2)
            await cancelled(left)
            bench.network.go_on.set()
            assert (await stays)[0].item() == 3.0
        assert bench.network.seen == [1.0, 3.0]

    run(leaving())


def test_a_pass_whose_turn_comes_after_the_deadline_is_not_computed() -> None:
    """It had begun in time: its thread did, and then its pass waited for a lane."""

    async def late() -> None:
        async with busy() as bench:
            overdue = bench.pass_(2.0, Passing(0.0, bench.network.go_on.is_set))
            await bench.waiting(1)
            bench.network.go_on.set()
            with pytest.raises(PeerTimedOut, match="before the computation's turn came"):
                await overdue
        assert bench.network.seen == [1.0]

    run(late())


def test_lanes_end_though_the_last_pass_is_dropped() -> None:
    async def ending() -> None:
        async with busy(lanes=4) as bench:
            overdue = bench.pass_(2.0, Passing(0.0, bench.network.go_on.is_set))
            await bench.waiting(1)
            closing = asyncio.create_task(asyncio.to_thread(bench.queue._passes.close))
            await asyncio.to_thread(until, lambda: bench.queue._passes._closed, "the lanes to be told")
            bench.network.go_on.set()
            await asyncio.gather(overdue, closing, return_exceptions=True)

    run(ending())
