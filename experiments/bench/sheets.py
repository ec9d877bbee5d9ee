# SPDX-License-Identifier: Apache-2.0
"""A report as tables of text, for a terminal and for the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from experiments.bench.report import ChannelRow, Latency, Load, Reference, Report, SessionState, Single, SweepPair
from experiments.bench.targets import targets

#: So many values at least, or the 95th and 99th percentile are the largest value under another name.
TAILS_FROM: Final = 20


@dataclass(frozen=True)
class Sheet:
    """A table; the first column is text, the others are figures unless ``text`` says that all are text."""

    name: str
    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: bool = False


def sheets(report: Report) -> list[Sheet]:
    """Of everything that was measured."""
    found = [
        _targets(report),
        report.reference and _reference(report.reference),
        report.single and _single(report.single),
        report.concurrency and _loads("concurrency", "Single images, closed loop", report.concurrency),
        report.open_loop and _loads("open-loop", "Single images, open loop", report.open_loop),
        report.batches and _loads("batches", "Batches, closed loop: images x batches at a time", report.batches),
        _processor_time(report),
        report.channel and _channel(report.channel),
        report.session and _session(report.session),
        report.sweep and _sweep(report.sweep),
        report.ready_s and _start(report.ready_s),
    ]
    return [sheet for sheet in found if isinstance(sheet, Sheet)]


def _targets(report: Report) -> Sheet:
    rows = tuple((row.claim, row.aim, row.found, row.verdict) for row in targets(report))
    return Sheet("targets", "Targets", ("target", "aim", "found", "verdict"), rows, text=True)


def _reference(reference: Reference) -> Sheet:
    layouts = list(dict.fromkeys((row.processes, row.threads) for row in reference.rows))
    found = {((row.processes, row.threads), row.batch): row.images_per_s for row in reference.rows}
    heading = ("batch", *(f"{processes} x {threads} threads" for processes, threads in layouts))
    rows = [
        (str(batch), *(f"{found[layout, batch]:.1f}" for layout in layouts))
        for batch in dict.fromkeys(row.batch for row in reference.rows)
    ]
    again = reference.again
    last = ["" for _ in layouts]
    last[layouts.index((again.processes, again.threads))] = f"{again.images_per_s:.1f}"
    rows.append((f"{again.batch}, again at the end", *last))
    return Sheet("reference", "In process: images a second", heading, tuple(rows))


def _single(single: Single) -> Sheet:
    named = {
        "image: as the client waits": single.load.latency,
        "image: in the nodes (total_ms)": single.total,
        "image: HTTP, receiving, decoding": single.http,
        "round: as the edge sees it": single.round,
        "round: edge": single.edge,
        "round: channel": single.channel,
        "round: cloud": single.cloud,
        "round: networks in process": single.networks,
        "round: not model computation": single.beside,
    }
    heading = ("of one, ms", "mean", "p50", "p95", "p99", "max")
    return Sheet("single", "One image at a time", heading, tuple((name, *_times(some)) for name, some in named.items()))


def _loads(name: str, title: str, loads: Sequence[Load]) -> Sheet:
    heading = ("load", "images/s", "ratio", "p50 ms", "p95", "p99", "queue edge", "queue cloud", "failed")
    batches = name == "batches"
    return Sheet(name, title, heading, tuple((_named(load, batches), *_load(load)) for load in loads))


def _load(load: Load) -> tuple[str, ...]:
    times = _percentiles(load.latency)
    queues = (f"{load.queue_ms[role]:+,.0f}" if role in load.queue_ms else "-" for role in ("edge", "cloud"))
    ratio = "-" if load.ratio is None else f"{load.ratio:.2f}"
    return (f"{load.images_per_s:.1f}", ratio, *times, *queues, _failed(load.failures, load.requests))


def _named(load: Load, batches: bool) -> str:
    """``64 x 4`` is four batches of 64 at a time."""
    if load.pattern == "open":
        return f"{load.share or 0:.0%}: {load.offered_per_s or 0:.1f} a second"
    return f"{load.batch} x {load.connections}" if batches else f"{load.connections} at a time"


def _processor_time(report: Report) -> Sheet | None:
    """Of every level whose processes could be looked at."""
    alone = [report.single.load] if report.single else []
    singles = [*alone, *report.concurrency, *report.open_loop]
    named = [
        *((_named(load, False), load) for load in singles),
        *((_named(load, True), load) for load in report.batches),
    ]
    names = list(dict.fromkeys(name for _, load in named for name in load.cpu_ms))
    rows = [
        (said, *(f"{load.cpu_ms[name]:.2f}" if name in load.cpu_ms else "-" for name in names)) for said, load in named
    ]
    return Sheet("processor-time", "Processor time, ms an image", ("load", *names), tuple(rows)) if names else None


def _channel(rows: Sequence[ChannelRow]) -> Sheet:
    heading = ("frames of", "frames/s", "CPU ms a frame", "p50 ms", "p95", "p99", "channel_ms p50", "failed")
    return Sheet("channel", "The channel alone", heading, tuple(_channel_row(row) for row in rows))


def _channel_row(row: ChannelRow) -> tuple[str, ...]:
    blocks = "1 block" if row.blocks == 1 else f"{row.blocks} blocks"
    inside = "-" if row.channel is None else f"{row.channel.p50_ms:.2f}"
    times = _percentiles(row.latency)
    spent = "-" if row.cpu_ms is None else f"{row.cpu_ms:.3f}"
    figures = (f"{row.frames_per_s:.0f}", spent, *times, inside)
    return (f"{blocks}, {row.connections} at a time", *figures, _failed(row.failures, row.frames))


def _session(state: SessionState) -> Sheet:
    rows = tuple((str(number), f"{size:,}") for number, size in enumerate(state.bytes_by_round, start=1))
    return Sheet("session", "A session's record in the store", ("after round", "bytes"), rows)


def _sweep(pair: SweepPair) -> Sheet:
    heading = (f"{pair.images} images, {pair.units} units", "seconds", "speed")
    rows = (("in process", f"{pair.link_s:.1f}", "1"), ("through the nodes", f"{pair.http_s:.1f}", f"{pair.ratio:.2f}"))
    return Sheet("sweep", f"A sweep; its figures are {'equal' if pair.equal else 'NOT equal'}", heading, rows)


def _start(ready_s: Mapping[str, float]) -> Sheet:
    rows = tuple((role, f"{seconds:.1f}") for role, seconds in ready_s.items())
    return Sheet("start", "From start to readiness", ("node", "seconds"), rows)


def _times(some: Latency | None) -> tuple[str, ...]:
    if some is None:
        return ("-",) * 5
    (mean, largest), percentiles = _figures(some.mean_ms, some.max_ms), _percentiles(some)
    return (mean, *percentiles, largest)


def _percentiles(some: Latency | None) -> tuple[str, ...]:
    """p50, p95 and p99; few values have no tails."""
    if some is None:
        return ("-",) * 3
    p50, *tails = _figures(some.p50_ms, some.p95_ms, some.p99_ms)
    return (p50, *(tails if some.count >= TAILS_FROM else ("-", "-")))


def _figures(*values_ms: float) -> tuple[str, ...]:
    return tuple(f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}" for value in values_ms)


def _failed(failures: Mapping[str, int], requests: int) -> str:
    """None of how many, or how many of each kind."""
    said = ", ".join(f"{count} x {reason}" for reason, count in failures.items())
    return f"{said} of {requests}" if said else f"0 of {requests}"
