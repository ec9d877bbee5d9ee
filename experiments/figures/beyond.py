# SPDX-License-Identifier: Apache-2.0
"""Beyond the paper: accuracy against bandwidth with oracles, decisions, bandwidth per image, energy."""

from collections.abc import Callable
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.paper import draw_control, draw_settings
from experiments.figures.results import Results, Row, where
from experiments.figures.style import ACCURACY, BANDWIDTH_KBIT, BER, INK, Look, legend_below, look_of, panels

#: Scores by the name of the rule that compares them with theta.
SCORE_RULES: Final = {
    "similarity": "snn-sc-harq",
    "margin": "snn-sc-margin-harq",
    "probability": "largest-probability",
    "truth": "oracle-similarity",
    "shuffled": "snn-sc-harq, K shuffled",
}
_PJ_PER_MJ: Final = 1e9


def trade_off(results: Results) -> Figure:
    """Accuracy against mean bandwidth at each of the shown BERs, thresholds running."""
    figure, axes = panels(len(results.shown_bers))
    for some, ber in zip(axes, results.shown_bers, strict=True):
        curves = where(results.rates["trade_off"], ber=ber)
        for curve in curves:
            if curve["system"] not in results.baselines:
                _draw_curve(some, curve)
        limits = some.get_xlim(), some.get_ylim()
        for curve in curves:
            if curve["system"] in results.baselines:
                _draw_curve(some, curve)
        some.set(xlim=limits[0], ylim=limits[1])  # baselines where they come near; their own figure shows them whole
        _draw_control(some, results, ber)
        _label_oracle(some, results, ber)
        some.set(title=f"BER {ber:g}", xlabel=BANDWIDTH_KBIT)
    axes[0].set_ylabel(ACCURACY)
    legend_below(figure, axes)
    return figure


def _draw_curve(axes: Axes, curve: Row) -> None:
    look = look_of(curve["system"])
    kbit = [bits / 1000 for bits in curve["bandwidth_bits"]]
    every = 5 if len(kbit) > 10 else 1
    axes.plot(kbit, curve["accuracy"], color=look.colour, marker=look.marker, markevery=every, label=look.label)


def _draw_control(axes: Axes, results: Results, ber: float) -> None:
    """The control policy at the bandwidths of the systems at their thresholds."""
    look, rows = look_of("control"), where(results.points("control"), ber=ber)
    x, values = [row["bandwidth_bits"] / 1000 for row in rows], [row["accuracy"] for row in rows]
    axes.plot(x, values, color=look.colour, marker=look.marker, linestyle="", label=look.label)


def _label_oracle(axes: Axes, results: Results, ber: float) -> None:
    """Only said, not drawn: its point lies far above and would flatten the curves."""
    point = results.point("oracle-label", "default", ber)
    said = f"oracle that knows the label:\n{point['accuracy']:.1f} % at {point['bandwidth_bits'] / 1000:.2f} kbit"
    axes.text(0.97, 0.04, said, transform=axes.transAxes, ha="right", fontsize=7.5, color=INK)


def baselines(results: Results) -> Figure:
    """Systems with codecs of their own beside the defaults of the others, accuracy from 0 on."""
    figure, axes = panels(2)
    for some, value in zip(axes, ("accuracy", "bandwidth"), strict=True):
        for name in ("multi-rate", *results.harq_systems, *results.baselines):
            draw_settings(some, results, name, value)
        for name in results.harq_systems:
            draw_control(some, results, value, name)
        some.set(xlabel=BER, ylabel=ACCURACY if value == "accuracy" else BANDWIDTH_KBIT)
        some.set_ylim(bottom=0)
    legend_below(figure, axes, columns=2)
    return figure


def roc(results: Results) -> Figure:
    """Which share of right and of wrong labels each score accepts at the first decision."""

    def draw(axes: Axes, row: Row, look: Look) -> None:
        curve = row["roc"]
        axes.plot(curve["wrong_accepted"], curve["right_accepted"], color=look.colour, label=look.label)

    return _scores(results, draw, "wrong labels accepted (share)", "right labels accepted (share)")


def calibration(results: Results) -> Figure:
    """Share of right labels against what the score predicts, its table made on validation."""

    def draw(axes: Axes, row: Row, look: Look) -> None:
        predicted = [bin_["predicted"] for bin_ in row["calibration"]]
        right = [bin_["right"] for bin_ in row["calibration"]]
        axes.plot(predicted, right, color=look.colour, marker=look.marker, label=look.label)

    return _scores(results, draw, "predicted share of right labels", "share of right labels")


def _scores(results: Results, draw: Callable[[Axes, Row, Look], None], xlabel: str, ylabel: str) -> Figure:
    """A square a BER with its diagonal, and in it a curve a score."""
    bers = sorted({row["ber"] for row in results.decisions["scores"] if "roc" in row})
    figure, axes = panels(len(bers), sharey=True)
    for some, ber in zip(axes, bers, strict=True):
        some.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
        for row in where(results.decisions["scores"], ber=ber):
            draw(some, row, look_of(SCORE_RULES[row["score"]]))
        some.set(title=f"BER {ber:g}", xlabel=xlabel, aspect="equal")
    axes[0].set_ylabel(ylabel)
    legend_below(figure, axes)
    return figure


def bandwidth(results: Results) -> Figure:
    """How the images spread over the bandwidths at the default thresholds."""
    figure, axes = panels(len(results.shown_bers), sharey=True)
    systems = results.harq_systems
    width = 0.8 / len(systems)
    for some, ber in zip(axes, results.shown_bers, strict=True):
        for index, name in enumerate(systems):
            share = results.point(name, "default", ber)["share_by_t"]
            steps = [results.t0 + i + (index - (len(systems) - 1) / 2) * width for i in range(len(share))]
            look = look_of(name)
            some.bar(steps, [100 * value for value in share], width * 0.92, color=look.colour, label=look.label)
        some.set(title=f"BER {ber:g}", xlabel="time steps sent, t (512 bits each)")
    axes[0].set_ylabel("images (%)")
    legend_below(figure, axes, columns=2)
    return figure


def energy(results: Results) -> Figure:
    """Computation per image, edge and cloud apart, at the smallest and the largest BER."""
    ends = (results.bers[0], results.bers[-1])
    figure, axes = panels(len(ends), height=3.2, sharey=True)
    colours = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00")
    for some, ber in zip(axes, ends, strict=True):
        rows = where(results.energy["sessions"], ber=ber)
        names, left = [_session_name(row) for row in rows], [0.0] * len(rows)
        for (part, values), colour in zip(_energies(results, rows).items(), colours, strict=True):
            some.barh(names, values, left=left, color=colour, label=part)
            left = [before + value for before, value in zip(left, values, strict=True)]
        some.set(title=f"BER {ber:g}", xlabel="computation (mJ per image)")
    axes[0].invert_yaxis()  # shared by all panels
    legend_below(figure, axes, columns=2)
    return figure


def _energies(results: Results, rows: list[Row]) -> dict[str, list[float]]:
    """In mJ, each part of all sessions."""
    backbone, head = (results.energy["backbone"][side]["energy_pj"] for side in ("edge", "cloud"))
    heads = [head * row["task_head_runs"] for row in rows]
    parts = {
        "edge: backbone": [backbone for _ in rows],
        "edge: encoder, SimNet_E": [row["edge"]["energy_pj"] - backbone for row in rows],
        "cloud: task head": heads,
        "cloud: reconstructor, converter, SimNet_D": [
            row["cloud"]["energy_pj"] - some for row, some in zip(rows, heads, strict=True)
        ],
    }
    return {name: [value / _PJ_PER_MJ for value in values] for name, values in parts.items()}


def _session_name(row: Row) -> str:
    label = look_of(row["system"]).label
    return label if row["setting"] == "default" else f"{label}, {row['setting']}"
