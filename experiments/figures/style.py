# SPDX-License-Identifier: Apache-2.0
"""One look for all figures: Okabe and Ito's colours, which colour-blind readers can tell apart, and a marker a system.

Files are the same for the same JSON: no date, fixed ids in SVG, letters as outlines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.results import Row

BANDWIDTH_KBIT: Final = "bandwidth (kbit per image)"
ACCURACY: Final = "accuracy (%)"
BER: Final = "bit error rate"
#: Settings from the smallest bandwidth to the largest; the default is drawn apart.
LINES: Final = {"low": ":", "middle": "--", "high": "-", "default": "-."}
INK: Final = "#333333"
BER_COLOURS: Final = ("#0072B2", "#E69F00", "#D55E00", "#CC79A7")


@dataclass(frozen=True)
class Look:
    """How a system is drawn."""

    label: str
    colour: str
    marker: str


LOOKS: Final = {
    "snn-sc-harq": Look("SNN-SC-HARQ (the paper's)", "#0072B2", "o"),
    "snn-sc-margin-harq": Look("margin rule (ours)", "#D55E00", "s"),
    "snn-sc-learned-harq": Look("learned rule (ours)", "#332288", "h"),
    "snn-sc-ldpc-harq": Look("SNN-SC + LDPC + HARQ", "#56B4E9", "v"),
    "cnn-1bit": Look("1-bit CNN", "#CC79A7", "D"),
    "multi-rate": Look("Multi-rate", "#686868", "x"),
    "control": Look("control policy (p and t alone)", "#000000", "+"),
    "largest-probability": Look("largest probability", "#E69F00", "^"),
    "oracle-similarity": Look("oracle: true similarity", "#009E73", "P"),
    "oracle-label": Look("oracle: knows the label", "#000000", "*"),
    "snn-sc-harq, K shuffled": Look("SNN-SC-HARQ, K shuffled", "#882255", "d"),
}
_RC: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    "svg.hashsalt": "spikelink",
    "svg.fonttype": "path",
}


def look_of(system: str) -> Look:
    """A system without a look of its own is drawn in grey under its name."""
    return LOOKS.get(system, Look(system, "#888888", "."))


def greys(count: int) -> list[str]:
    """From light to dark, one a fixed rate."""
    return [f"#{level:02x}{level:02x}{level:02x}" for level in np.linspace(0xC8, 0x40, count).round().astype(int)]


def styled() -> Any:
    """The context in which figures are made and saved."""
    return rc_context(_RC)


def panels(columns: int, rows: int = 1, *, height: float = 3.1, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with axes side by side, row after row."""
    figure = Figure(figsize=(3.4 * columns + 0.4, height * rows))
    axes = figure.subplots(rows, columns, squeeze=False, sharey="row" if sharey else False)
    return figure, list(axes.ravel())


def legend_below(figure: Figure, axes: Sequence[Axes], columns: int = 3) -> None:
    """One legend for all panels, each label once."""
    handles = {label: handle for some in axes for handle, label in zip(*some.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)


def line_with_band(axes: Axes, rows: Sequence[Row], value: str, band: str, line: dict[str, Any]) -> None:
    """A figure against BER with its 95 % interval shaded."""
    bers = [row["ber"] for row in rows]
    low, high = zip(*(row[band] for row in rows), strict=True)
    axes.plot(bers, [row[value] for row in rows], **line)
    axes.fill_between(bers, low, high, color=line["color"], alpha=0.12, linewidth=0)


def save(figure: Figure, path: Path) -> None:
    """``path`` with .svg and .png."""
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    figure.savefig(path.with_suffix(".png"), metadata={"Software": None})
