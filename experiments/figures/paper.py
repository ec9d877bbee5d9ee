# SPDX-License-Identifier: Apache-2.0
"""The paper's figures from our measurements: Fig. 4, Fig. 5, and Table I as a figure."""

from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.results import Results, Row, where
from experiments.figures.style import (
    ACCURACY,
    BANDWIDTH_KBIT,
    BER,
    BER_COLOURS,
    FIXED,
    LINES,
    legend_below,
    line_with_band,
    look_of,
    panels,
)

#: The largest gap of the paper's Table I, in points.
PAPER_GAP: Final = 0.11
_PRIOR_BITS: Final = 32


def fig4(results: Results) -> Figure:
    """Fig. 4(a) and (b): accuracy, and estimated and true similarity, against bandwidth at three BERs."""
    figure, (accuracy, similarity) = panels(2)
    for colour, ber in zip(BER_COLOURS, results.shown_bers, strict=False):
        rows = where(results.similarity["cells"], ber=ber)
        kbit = [(row["bandwidth_bits"] + _PRIOR_BITS) / 1000 for row in rows]
        style = {"color": colour, "marker": "o", "label": f"BER {ber:g}"}
        _band(accuracy, kbit, rows, "accuracy", style)
        _band(similarity, kbit, rows, "mean_estimate", style)
        truth = {"color": colour, "marker": "", "linestyle": ":", "label": f"BER {ber:g}, true similarity"}
        _band(similarity, kbit, rows, "mean_similarity", truth)
    accuracy.set(title="(a) accuracy", xlabel=f"{BANDWIDTH_KBIT}, K included", ylabel=ACCURACY)
    similarity.set(title="(b) SimNet's estimate", xlabel=f"{BANDWIDTH_KBIT}, K included", ylabel="mean similarity")
    legend_below(figure, (accuracy, similarity))
    return figure


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
            _control(some, results.points("control", "default"), value, name)
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
    for colour, setting in zip(FIXED, settings, strict=False):
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


def _control(axes: Axes, rows: list[Row], value: str, system: str) -> None:
    look = look_of("control")
    mine = where(rows, **{"for": system})
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
    """Table I with its intervals: each HARQ system minus Multi-rate at equal mean bandwidth."""
    systems = results.harq_systems
    figure, axes = panels(len(systems), sharey=True)
    for some, name in zip(axes, systems, strict=True):
        look, rows = look_of(name), where(results.gaps["cells"], system=name)
        some.axhspan(-PAPER_GAP, PAPER_GAP, color="#dddddd", label="largest gap in the paper: 0.11 points")
        some.axhline(0, color="#888888", linewidth=0.8)
        for shift, setting in zip((-0.008, 0.0, 0.008), results.gaps["settings"], strict=True):
            cells = where(rows, setting=setting)
            axis = cells[0]["axis"]
            gaps = [cell[f"gap_{axis}"] for cell in cells]
            bars = list(zip(gaps, *zip(*(cell[f"interval_{axis}"] for cell in cells), strict=True), strict=True))
            errors = [[gap - low for gap, low, _ in bars], [high - gap for gap, _, high in bars]]
            filled = {"low": "white", "middle": look.colour + "80", "high": look.colour}[setting]
            some.errorbar(
                [cell["ber"] + shift for cell in cells], gaps, errors, fmt=look.marker, color=look.colour,
                markerfacecolor=filled, linewidth=1.0, label=f"{name}, {setting} theta",
            )  # fmt: skip
        some.set(title=look.label, xlabel=BER)
    axes[0].set_ylabel("accuracy minus Multi-rate's\nat equal bandwidth (points)")
    legend_below(figure, axes, columns=len(systems))
    return figure
