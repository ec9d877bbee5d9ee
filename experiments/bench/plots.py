# SPDX-License-Identifier: Apache-2.0
"""The plots of docs/performance.md, from a report alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.bench.report import Load, Reference, Report, Single
from experiments.figures.style import INK, legend_below, panels, styled

#: Okabe and Ito's: in process, then over HTTP; a marker beside each.
_IN_PROCESS: Final = (("#888888", "x"), ("#000000", "+"))
_HTTP: Final = (("#0072B2", "o"), ("#D55E00", "s"), ("#CC79A7", "D"))
_PARTS: Final = {"edge": "#0072B2", "channel": "#E69F00", "cloud": "#D55E00"}


def draw(report: Report, folder: Path) -> dict[str, str]:
    """SVG files in ``folder`` -> their names by what they show; what was not measured is not drawn."""
    figures = {
        "throughput": _throughput(report.reference, report) if report.reference else None,
        "latency": _latency(report) if report.concurrency or report.open_loop else None,
        "round": _round(report.single) if report.single else None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, figure in figures.items():
        if figure is not None:
            drawn[name] = f"performance-{name}.svg"
            with styled():
                figure.savefig(folder / drawn[name], metadata={"Date": None, "Creator": None})
    return drawn


def _throughput(reference: Reference, report: Report) -> Figure:
    """Images a second: batches by their size, single images by their number at a time."""
    with styled():
        figure, (left, right) = panels(2, sharey=True)
        for (colour, marker), layout in zip(
            _IN_PROCESS, dict.fromkeys((row.processes, row.threads) for row in reference.rows), strict=False
        ):
            rows = [row for row in reference.rows if (row.processes, row.threads) == layout]
            label = f"in process, {layout[0]} x {layout[1]} threads"
            _line(left, [(row.batch, row.images_per_s) for row in rows], label, colour, marker)
        for (colour, marker), number in zip(
            _HTTP, dict.fromkeys(load.connections for load in report.batches), strict=False
        ):
            loads = [load for load in report.batches if load.connections == number]
            points = [(load.batch, load.images_per_s) for load in loads]
            _line(left, points, f"over HTTP, batches, {number} at a time", colour, marker)
        colour, marker = _HTTP[2]
        singles = [(load.connections, load.images_per_s) for load in report.concurrency]
        _line(right, singles, "over HTTP, single images", colour, marker)
        for axes, name in ((left, "images a batch"), (right, "single images at a time")):
            axes.axhline(reference.best.images_per_s, color=INK, linewidth=0.8, linestyle=":", label="in process, best")
            axes.set_xlabel(name)
            axes.set_ylim(bottom=0)
        left.set_ylabel("images a second")
        legend_below(figure, (left, right))
    return figure


def _latency(report: Report) -> Figure:
    """Milliseconds from due to done, by the number at a time and by the share of the capacity that arrives."""
    with styled():
        figure, (left, right) = panels(2, sharey=True)
        _percentiles(left, report.concurrency, [load.connections for load in report.concurrency])
        _percentiles(right, report.open_loop, [100 * (load.share or 0) for load in report.open_loop])
        _powers(left)
        left.set_xlabel("single images at a time")
        right.set_xlabel("arrivals, % of the capacity")
        left.set_ylabel("latency (ms)")
        left.set_yscale("log")
        legend_below(figure, (left, right))
    return figure


def _percentiles(axes: Axes, loads: Sequence[Load], places: Sequence[float]) -> None:
    for (colour, marker), name in zip(_HTTP, ("p50", "p95", "p99"), strict=True):
        points = [
            (place, getattr(load.latency, f"{name}_ms"))
            for place, load in zip(places, loads, strict=True)
            if load.latency
        ]
        axes.plot(*_columns(points), color=colour, marker=marker, label=name)


def _round(single: Single) -> Figure:
    """A round's mean time by node, and the same round's networks in process."""
    with styled():
        figure, (axes,) = panels(1, height=2.1)
        left = 0.0
        for name, colour in _PARTS.items():
            mean_ms = getattr(single, name).mean_ms
            axes.barh("over HTTP", mean_ms, left=left, color=colour, label=name)
            left += mean_ms
        axes.barh("in process", single.networks.mean_ms, color="#888888", label="networks alone")
        axes.set_xlabel("one round, mean (ms)")
        axes.grid(visible=False, axis="y")
        legend_below(figure, (axes,), columns=2)
    return figure


def _line(axes: Axes, points: Sequence[tuple[int, float]], label: str, colour: str, marker: str) -> None:
    if points:
        axes.plot(*_columns(points), color=colour, marker=marker, label=label)
        _powers(axes)


def _powers(axes: Axes) -> None:
    """1, 2, 4 ... at equal distances."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [place for place, _ in points], [value for _, value in points]
