# SPDX-License-Identifier: Apache-2.0
"""Requests in a closed or an open loop, each timed, whatever becomes of it. Nothing is repeated and nothing dropped."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import count
from typing import Final, Generic, TypeVar

from client import NodeTimeoutError, NodeUnreachableError, RequestRefusedError, SpikeLinkError
from experiments.bench.statistics import Span

R = TypeVar("R")

#: A closed loop that is refused waits a little, or else it would be a load of refusals.
_AFTER_REFUSAL_S: Final = 0.1
#: Requests of an open loop on their way at once. Who finds no free connection waits, and its latency counts on.
MOST_CONNECTIONS: Final = 256


@dataclass(frozen=True)
class Sample(Generic[R]):
    """One request. It was due, was sent, and ended, in seconds of the monotonic clock; a failure has no reply."""

    due_s: float
    sent_s: float
    ended_s: float
    reply: R | None
    failure: str | None = None

    @property
    def latency_ms(self) -> float:
        """From the time that it was due: what a stall did to requests that had to wait behind it counts."""
        return 1000 * (self.ended_s - self.due_s)


@dataclass(frozen=True)
class Samples(Generic[R]):
    """The requests of a level between two moments."""

    begin_s: float
    end_s: float
    all: tuple[Sample[R], ...]

    @property
    def succeeded(self) -> list[Sample[R]]:
        return [sample for sample in self.all if sample.failure is None]

    @property
    def replies(self) -> list[R]:
        return [sample.reply for sample in self.all if sample.reply is not None]

    @property
    def latencies_ms(self) -> list[float]:
        return [sample.latency_ms for sample in self.succeeded]

    def failures(self) -> dict[str, int]:
        """How many failed, by reason."""
        return dict(sorted(Counter(sample.failure for sample in self.all if sample.failure is not None).items()))

    def spans(self, items: int) -> list[Span]:
        """Those that succeeded, as work on so many items each."""
        return [Span(sample.sent_s, sample.ended_s, items) for sample in self.succeeded]


def closed_loop(send: Callable[[int], R], connections: int, duration_s: float) -> Samples[R]:
    """So many connections, each with one request after the other until the time is over, at least one each.

    ``send`` gets the number of its request, from 0; requests that the end finds on their way are waited for.
    """
    stop, numbers, lock = threading.Event(), count(), threading.Lock()
    begin_s = time.monotonic()
    end_s = begin_s + duration_s

    def work() -> list[Sample[R]]:
        done: list[Sample[R]] = []
        while not stop.is_set() and (not done or time.monotonic() < end_s):
            with lock:
                number = next(numbers)
            done.append(_timed(send, number, time.monotonic()))
            if done[-1].failure is not None:
                stop.wait(_AFTER_REFUSAL_S)
        return done

    return Samples(begin_s, end_s, _all_of(work, connections, stop))


def open_loop(send: Callable[[int], R], due: Sequence[float], duration_s: float) -> Samples[R]:
    """A request at each of these times (ascending, in seconds from the start), whether or not earlier ones have ended.

    ``duration_s`` is the time over which they are spread; requests that its end finds on their way are waited for.
    """
    stop, numbers, lock = threading.Event(), iter(range(len(due))), threading.Lock()
    begin_s = time.monotonic()

    def work() -> list[Sample[R]]:
        done: list[Sample[R]] = []
        while not stop.is_set():
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            due_s = begin_s + due[number]
            if not stop.wait(max(0.0, due_s - time.monotonic())):
                done.append(_timed(send, number, due_s))
        return done

    samples = _all_of(work, min(len(due), MOST_CONNECTIONS), stop)
    return Samples(begin_s, begin_s + duration_s, samples)


def failure_of(error: SpikeLinkError) -> str:
    """The HTTP status of a refusal, else in one word what went wrong."""
    if isinstance(error, RequestRefusedError):
        return str(error.status)
    if isinstance(error, NodeTimeoutError):
        return "timeout"
    return "unreachable" if isinstance(error, NodeUnreachableError) else "unexpected"


def _timed(send: Callable[[int], R], number: int, due_s: float) -> Sample[R]:
    sent_s = time.monotonic()
    try:
        reply = send(number)
    except SpikeLinkError as error:
        return Sample(due_s, sent_s, time.monotonic(), None, failure_of(error))
    return Sample(due_s, sent_s, time.monotonic(), reply)


def _all_of(work: Callable[[], list[Sample[R]]], threads: int, stop: threading.Event) -> tuple[Sample[R], ...]:
    """Everything that the threads did, in the order of the times that it was due."""
    with ThreadPoolExecutor(threads, "load") as pool:
        futures = [pool.submit(work) for _ in range(threads)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()  # after an error or Ctrl-C nobody begins another request
    samples = [sample for future in futures for sample in future.result()]
    return tuple(sorted(samples, key=lambda sample: sample.due_s))
