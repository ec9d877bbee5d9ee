# SPDX-License-Identifier: Apache-2.0
"""From single measurements to the figures of a level."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.bench.report import Latency


@dataclass(frozen=True)
class Span:
    """Work on so many items, from ``begun_s`` to ``ended_s`` of the monotonic clock."""

    begun_s: float
    ended_s: float
    items: int


def latency_of(values_ms: Sequence[float]) -> Latency | None:
    """None where there is no value; percentiles interpolate linearly."""
    if not values_ms:
        return None
    p50, p95, p99 = (float(value) for value in np.percentile(values_ms, (50, 95, 99)))
    mean, largest = float(np.mean(values_ms)), max(values_ms)
    return Latency(count=len(values_ms), mean_ms=mean, p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=largest)


def items_per_s(spans: Iterable[Span], begin_s: float, end_s: float) -> float:
    """Items finished a second between two moments.

    Work that reaches over a moment counts with its share of time inside: else a level of few large batches would
    be judged by whether the last one happened to end in time.
    """
    done = 0.0
    for span in spans:
        inside_s = min(span.ended_s, end_s) - max(span.begun_s, begin_s)
        if inside_s > 0:
            done += span.items * inside_s / (span.ended_s - span.begun_s)
    return done / (end_s - begin_s)
