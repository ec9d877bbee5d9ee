# SPDX-License-Identifier: Apache-2.0
"""How fast the nodes are meant to be, each target with what was measured and a computed verdict."""

from collections.abc import Callable
from typing import Final

from experiments.bench.report import Load, Report
from experiments.figures.targets import Target

_BATCH_RATIO: Final = 0.9
_MANY: Final = 32
_MANY_RATIO: Final = 0.7
_BESIDE_MS: Final = 3.0
_CHANNEL_CPU_MS: Final = 0.5
_READY_S: Final = 8.0
_SESSION_BYTES: Final = 1000


def targets(report: Report) -> list[Target]:
    """Row by row; what was not measured is not decided."""
    rows: tuple[Callable[[Report], Target], ...] = (_batches, _concurrency, _beside, _channel, _ready, _session)
    return [row(report) for row in rows]


def _batches(report: Report) -> Target:
    rated = [load for load in report.batches if load.ratio is not None]
    best = max(rated, key=_ratio, default=None)
    said = (
        ""
        if best is None
        else f"{_ratio(best):.2f} ({best.requests} batches of {best.batch}, {best.connections} at a time)"
    )
    holds = None if best is None else _ratio(best) >= _BATCH_RATIO
    return Target("batches over HTTP, to the in-process link's best", f">= {_BATCH_RATIO}", said, holds)


def _concurrency(report: Report) -> Target:
    load = next((load for load in report.concurrency if load.connections == _MANY), None)
    claim = f"{_MANY} single images at a time, to the same"
    if load is None or load.ratio is None:
        return Target(claim, f">= {_MANY_RATIO}", "", None)
    return Target(claim, f">= {_MANY_RATIO}", f"{load.ratio:.2f}", load.ratio >= _MANY_RATIO)


def _beside(report: Report) -> Target:
    claim, aim = "what is not model computation, p50 a round", f"<= {_BESIDE_MS:g} ms"
    if report.single is None:
        return Target(claim, aim, "", None)
    p50_ms = report.single.beside.p50_ms
    # Less than nothing: the machine was not the same for the two, and the figure says nothing.
    return Target(claim, aim, f"{p50_ms:.2f} ms", p50_ms <= _BESIDE_MS if p50_ms >= 0 else None)


def _channel(report: Report) -> Target:
    """Of one image's frames, whichever load costs more."""
    claim, aim = "processor time of the channel a frame", f"<= {_CHANNEL_CPU_MS:g} ms"
    spent = [row.cpu_ms for row in report.channel if row.blocks == 1 and row.cpu_ms is not None]
    if not spent:
        return Target(claim, aim, "", None)
    return Target(claim, aim, f"{max(spent):.2f} ms", max(spent) <= _CHANNEL_CPU_MS)


def _ready(report: Report) -> Target:
    claim, aim = "all nodes ready", f"within {_READY_S:g} s"
    if not report.ready_s:
        return Target(claim, aim, "", None)
    last = max(report.ready_s.values())
    return Target(claim, aim, f"{last:.1f} s", last <= _READY_S)


def _session(report: Report) -> Target:
    claim, aim = "a session in the store, the longest of one image", f"< {_SESSION_BYTES:,} bytes"
    if report.session is None:
        return Target(claim, aim, "", None)
    largest = max(report.session.bytes_by_round)
    return Target(claim, aim, f"{largest:,} bytes", largest < _SESSION_BYTES)


def _ratio(load: Load) -> float:
    return load.ratio or 0.0
