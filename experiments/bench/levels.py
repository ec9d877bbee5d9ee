# SPDX-License-Identifier: Apache-2.0
"""Levels of load on the edge: send, time, and read what the nodes say of themselves before and after."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from client import BatchClassification
from experiments.bench.arrivals import Arrivals, schedule
from experiments.bench.items import Sender
from experiments.bench.load import MOST_CONNECTIONS, Samples, closed_loop, open_loop
from experiments.bench.nodes import Meter, Reading
from experiments.bench.report import Load, Single
from experiments.bench.rounds import paired, split
from experiments.bench.statistics import items_per_s, latency_of

R = TypeVar("R")


class Levels:
    """One sender, one meter, and so many seconds a level."""

    def __init__(self, sender: Sender, meter: Meter, duration_s: float, seed: int) -> None:
        self._sender, self._meter = sender, meter
        self._duration_s, self._seed = duration_s, seed
        self._alone: Mapping[str, float] = {}

    def warm_up(self) -> None:
        """One image, for its own sake. Raises what ``client`` raises."""
        self._sender.single(0)

    def alone(self) -> Load:
        """One image at a time; what a computation takes then is what later levels' queues are counted from."""
        load = self._closed(self._sender.single, 1, 1)
        self._alone = load.compute_ms
        return load.model_copy(update={"queue_ms": self._queue_ms(load.compute_ms)})

    def split(self, load: Load, networks_ms: Callable[[int], list[float]]) -> Single:
        """One image at a time through the nodes and in process, in turns. Raises NothingToCompareError."""
        samples = closed_loop(partial(paired, self._sender.single, networks_ms), 1, self._duration_s)
        return split(load, samples.replies, samples.failures())

    def singles(self, connections: int) -> Load:
        """Single images on so many connections."""
        return self._closed(self._sender.single, connections, 1)

    def batches(self, size: int, connections: int) -> Load:
        """Batches on so many connections, after one that does not count: buffers of their size are made then."""

        def send(number: int) -> BatchClassification:
            return self._sender.batch(number, size)

        send(0)
        return self._closed(send, connections, size)

    def arrivals(self, kind: Arrivals, capacity_per_s: float, share: float) -> Load:
        """Single images that arrive at a share of the capacity."""
        rate_per_s = share * capacity_per_s
        due = schedule(kind, rate_per_s, self._duration_s, self._seed)
        before = self._meter.read()
        samples = open_loop(self._sender.single, due, self._duration_s)
        offered = {"arrivals": kind, "offered_per_s": len(due) / self._duration_s, "share": share}
        return self._load("open", samples, 1, before).model_copy(update=offered)

    def _closed(self, send: Callable[[int], R], connections: int, size: int) -> Load:
        before = self._meter.read()
        samples = closed_loop(send, connections, self._duration_s)
        return self._load("closed", samples, size, before).model_copy(update={"connections": connections})

    def _load(self, pattern: str, samples: Samples[R], size: int, before: Reading) -> Load:
        after = self._meter.read()
        compute_ms = after.compute_ms_since(before)
        return Load.model_validate(
            {
                "pattern": pattern,
                "connections": min(len(samples.all), MOST_CONNECTIONS),
                "batch": size,
                "requests": len(samples.all),
                "failures": samples.failures(),
                "images_per_s": items_per_s(samples.spans(size), samples.begin_s, samples.end_s),
                "ratio": None,
                "latency": latency_of(samples.latencies_ms),
                "cpu_ms": after.cpu_ms_since(before, size * len(samples.succeeded)),
                "compute_ms": compute_ms,
                "queue_ms": self._queue_ms(compute_ms),
            }
        )

    def _queue_ms(self, compute_ms: Mapping[str, float]) -> dict[str, float]:
        return {role: value - self._alone[role] for role, value in compute_ms.items() if role in self._alone}
