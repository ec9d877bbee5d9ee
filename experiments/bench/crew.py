# SPDX-License-Identifier: Apache-2.0
"""Processes that each hold the in-process link and do the same at the same time."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from experiments.bench.link import Job, LinkBench, RoundsOrder, ThroughputOrder
from experiments.bench.statistics import Span, items_per_s
from models.weights import WeightsError


class CrewError(Exception):
    """A measuring process that cannot go on; the message is one line."""


class Crew:
    """Some of them, loaded and waiting for orders."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes
        self._told()

    def images_per_s(self, batch: int, duration_s: float) -> float:
        """All together, with batches of a size each. Raises CrewError."""
        spans: list[list[Span]] = self._ordered(ThroughputOrder(batch, duration_s))
        begin_s = max(some[0].begun_s for some in spans)
        return items_per_s((span for some in spans for span in some), begin_s, begin_s + duration_s)

    def rounds_ms(self, row: int) -> list[float]:
        """What the networks of an item take in each round, in the first of the processes. Raises CrewError."""
        found: list[list[float]] = self._ordered(RoundsOrder(row))
        return found[0]

    def _ordered(self, order: ThroughputOrder | RoundsOrder) -> list[Any]:
        try:
            for pipe in self._pipes:
                pipe.send(order)
        except OSError:
            pass  # whoever has died is met again below
        return self._told()

    def _told(self) -> list[Any]:
        try:
            answers = [pipe.recv() for pipe in self._pipes]
        except (EOFError, OSError):
            raise CrewError("a measuring process has died: is there memory enough for all of them?") from None
        for answer in answers:
            if isinstance(answer, CrewError):
                raise answer
        return answers


@contextmanager
def crew(job: Job, processes: int, threads: int) -> Iterator[Crew]:
    """Started, loaded, and ended with the block. Raises CrewError."""
    context = get_context("spawn")
    ours, children = [], []
    try:
        for _ in range(processes):
            mine, its = context.Pipe()
            child = context.Process(target=_serve, args=(its, job, threads), daemon=True)
            child.start()
            its.close()  # the child has its own: without this one, the end of the child ends what we read
            ours.append(mine)
            children.append(child)
        yield Crew(ours)
    finally:
        for pipe in ours:
            pipe.close()
        for child in children:
            child.join(timeout=1.0)
            child.kill()
            child.join()


def _serve(orders: Connection, job: Job, threads: int) -> None:
    """Carry out orders until the parent closes the pipe, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    try:
        bench = LinkBench(job, threads)
    except (WeightsError, ValueError) as error:
        orders.send(CrewError(str(error)))
        return
    orders.send(None)
    while True:
        try:
            order = orders.recv()
        except EOFError:
            return
        orders.send(bench.rounds_ms(order) if isinstance(order, RoundsOrder) else bench.throughput(order))
