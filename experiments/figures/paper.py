# SPDX-License-Identifier: Apache-2.0
"""The paper's figures from our measurements: Fig. 4, Fig. 5, and Table I as a figure."""

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from channel.bits import PRIOR_BITS
from experiments.figures.results import Results, Row, where
from experiments.figures.style import (
    ACCURACY,
    BANDWIDTH_KBIT,
    BER,
    BER_COLOURS,
    LINES,
    greys,
    legend_below,
    line_with_band,
    look_of,
    panels,
)
from experiments.figures.targets import PAPER_GAP, PAPER_SYSTEM

#: The 1-bit CNN's t in Table I: its ends and its middle, as the systems have three thresholds.
_TABLE_T: Final = ("t=4", "t=6", "t=8")
#: Beside one another at each BER: low, middle, high.
_SHIFTS: Final = (-0.008, 0.0, 0.008)


def fig4(results: Results) -> Figure:
    """Fig. 4(a) and (b): accuracy, and estimated and true similarity, against bandwidth at three BERs."""
    figure, (accuracy, similarity) = panels(2)
    for colour, ber in zip(BER_COLOURS, results.shown_bers, strict=False):
        rows = where(results.similarity["cells"], ber=ber)
        kbit = [(row["bandwidth_bits"] + PRIOR_BITS) / 1000 for row in rows]
        style = {"color": colour, "marker": "o", "label": f"BER {ber:g}"}
        _band(accuracy, kbit, rows, "accuracy", style)
        _band(similarity, kbit, rows, "mean_estimate", style)
        truth = {"color": colour, "marker": "", "linestyle": ":", "label": f"BER {ber:g}, true similarity"}
        _band(similarity, kbit, rows, "mean_similarity", truth)
        _others(accuracy, results, ber, colour)
    limits = min(kbit), max(kbit)
    accuracy.set(xlim=(limits[0] - 0.1, limits[1] + 0.1))  # what has other bandwidths stands in the figure of baselines
    accuracy.set(title="(a) accuracy", xlabel=f"{BANDWIDTH_KBIT}, K included", ylabel=ACCURACY)
    similarity.set(title="(b) SimNet's estimate", xlabel=f"{BANDWIDTH_KBIT}, K included", ylabel="mean similarity")
    legend_below(figure, (accuracy, similarity))
    return figure


def _others(axes: Axes, results: Results, ber: float, colour: str) -> None:
    """The control policy at the bandwidths of the paper's system, and the 1-bit CNN, in the colour of their BER.

    On the axis of the panel: as if they sent K, too.
    """
    control = where(results.points("control"), ber=ber, **{"for": PAPER_SYSTEM})
    for name, rows, line in (("control", control, ""), ("cnn-1bit", where(results.points("cnn-1bit"), ber=ber), "--")):
        look, x = look_of(name), [(row["bandwidth_bits"] + PRIOR_BITS) / 1000 for row in rows]
        label = f"{look.label}, BER {ber:g}"
        values = [row["accuracy"] for row in rows]
        if rows:
            axes.plot(x, values, color=colour, marker=look.marker, linestyle=line, linewidth=1.0, label=label)


def _band(axes: Axes, x: list[float], rows: list[Row], name: str, style: dict[str, Any]) -> None:
    low, high = zip(*(row[f"{name}_interval"] for row in rows), strict=True)
    axes.plot(x, [row[name] for row in rows], **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.12, linewidth=0)


def fig5(results: Results) -> Figure:
    """Fig. 5(a) and (b), a column a HARQ system: accuracy and bandwidth against BER."""
    systems = results.harq_systems
    figure, axes = panels(len(systems), 2, sharey=True)
    for column, name in enumerate(systems):
        for row, value in enumerate(("accuracy", "bandwidth")):
            some = axes[row * len(systems) + column]
            _fixed(some, results, value)
            _thresholds(some, results, name, value)
            draw_control(some, results, value, name)
            limits = some.get_ylim()
            for baseline in results.baselines:
                draw_settings(some, results, baseline, value)
            if value == "accuracy":
                some.set_ylim(limits)  # what falls off a cliff leaves the panel; the figure of baselines shows it whole
            some.set(title=look_of(name).label if row == 0 else "", xlabel=BER if row else "")
    axes[0].set_ylabel(ACCURACY)
    axes[len(systems)].set_ylabel(BANDWIDTH_KBIT)
    legend_below(figure, axes, columns=len(systems))
    return figure


def _fixed(axes: Axes, results: Results, value: str) -> None:
    settings = dict.fromkeys(row["setting"] for row in results.points("multi-rate"))
    for colour, setting in zip(greys(len(settings)), settings, strict=True):
        line = {"color": colour, "linewidth": 1.0, "label": f"Multi-rate, {setting}"}
        _plot(axes, results.points("multi-rate", setting), value, line)


def _thresholds(axes: Axes, results: Results, name: str, value: str) -> None:
    look = look_of(name)
    for setting in results.thresholds[name]:
        marker = look.marker if setting != "default" else ""
        line = {"color": look.colour, "linestyle": LINES[setting], "marker": marker}
        label = f"{name}, {setting} theta"
        _plot(axes, results.points(name, setting), value, line | {"label": label})


def draw_settings(axes: Axes, results: Results, name: str, value: str) -> None:
    """A system's default, or its fixed rates at Multi-rate's smallest and largest bandwidth."""
    look = look_of(name)
    ends = {results.points("multi-rate")[row]["bandwidth_bits"] for row in (0, -1)}
    for setting in dict.fromkeys(row["setting"] for row in results.points(name)):
        rows = results.points(name, setting)
        if setting == "default" or rows[0]["bandwidth_bits"] in ends:
            style = "-" if rows[0]["bandwidth_bits"] == max(ends) or setting == "default" else "--"
            line = {"color": look.colour, "marker": look.marker, "linestyle": style, "linewidth": 1.1}
            _plot(axes, rows, value, line | {"label": f"{look.label}, {setting}"})


def draw_control(axes: Axes, results: Results, value: str, system: str) -> None:
    """The control policy at the bandwidth of a system at its default threshold."""
    look = look_of("control")
    mine = where(results.points("control", "default"), **{"for": system})
    values = [row["accuracy"] if value == "accuracy" else row["bandwidth_bits"] / 1000 for row in mine]
    bers, label = [row["ber"] for row in mine], f"{look.label}, at the default"
    axes.plot(bers, values, color=look.colour, marker=look.marker, linestyle="", label=label)


def _plot(axes: Axes, rows: list[Row], value: str, line: dict[str, Any]) -> None:
    if value == "accuracy" and rows[0]["setting"] == "default":
        # One band is enough: the intervals of all lines are as wide, and paired (Table I), not to be told apart here.
        line_with_band(axes, rows, "accuracy", "accuracy_interval", line)
        return
    values = [row["accuracy"] if value == "accuracy" else row["bandwidth_bits"] / 1000 for row in rows]
    axes.plot([row["ber"] for row in rows], values, **line)


def table1(results: Results) -> Figure:
    """Table I with its intervals: HARQ systems, control policy and 1-bit CNN minus Multi-rate at equal bandwidth."""
    systems, others = results.harq_systems, where(results.gaps["baselines"], system="cnn-1bit")
    figure, axes = panels(len(systems) + bool(others), sharey=True)
    for some, name in zip(axes, systems, strict=False):
        _system_gaps(some, results, name)
    for some in axes:
        some.axhspan(-PAPER_GAP, PAPER_GAP, color="#dddddd", label=f"largest gap in the paper: {PAPER_GAP} points")
        some.axhline(0, color="#888888", linewidth=0.8)
        some.set(xlabel=BER)
    if others:
        for shift, setting in zip(_SHIFTS, _TABLE_T, strict=True):
            _gaps(axes[-1], where(others, setting=setting), "true", shift, f"1-bit CNN, {setting}", "cnn-1bit")
        axes[-1].set(title=look_of("cnn-1bit").label)
    axes[0].set_ylabel("accuracy minus Multi-rate's\nat equal bandwidth (points)")
    legend_below(figure, axes, columns=len(systems))
    return figure


def _system_gaps(axes: Axes, results: Results, name: str) -> None:
    """At its three thresholds, and at the same bandwidths the control policy, whose gap is the difference of two."""
    rows, control = where(results.gaps["cells"], system=name), look_of("control")
    for shift, setting in zip(_SHIFTS, results.gaps["settings"], strict=True):
        cells = where(rows, setting=setting)
        axis = cells[0]["axis"]
        _gaps(axes, cells, axis, shift, f"{name}, {setting} theta", name)
        values = [cell[f"gap_{axis}"] - cell["gap_control"] for cell in cells]
        bers = [cell["ber"] + shift for cell in cells]
        axes.plot(bers, values, color=control.colour, marker=control.marker, linestyle="", label=control.label)
    axes.set(title=look_of(name).label)


def _gaps(axes: Axes, cells: list[Row], axis: str, shift: float, label: str, name: str) -> None:
    look, gaps = look_of(name), [cell[f"gap_{axis}"] for cell in cells]
    bars = list(zip(gaps, *zip(*(cell[f"interval_{axis}"] for cell in cells), strict=True), strict=True))
    errors = [[gap - low for gap, low, _ in bars], [high - gap for gap, _, high in bars]]
    filled = {-1: "white", 0: look.colour + "80", 1: look.colour}[_SHIFTS.index(shift) - 1]
    axes.errorbar(
        [cell["ber"] + shift for cell in cells], gaps, errors, fmt=look.marker, color=look.colour,
        markerfacecolor=filled, linewidth=1.0, label=label,
    )  # fmt: skip
