# SPDX-License-Identifier: Apache-2.0
"""All figures of a profile, as SVG and PNG."""

from pathlib import Path
from typing import Final

from experiments.figures import beyond, paper
from experiments.figures.results import load_results
from experiments.figures.style import save, styled

#: By file name.
FIGURES: Final = {
    "fig4": paper.fig4,
    "fig5": paper.fig5,
    "table1": paper.table1,
    "trade-off": beyond.trade_off,
    "baselines": beyond.baselines,
    "roc": beyond.roc,
    "calibration": beyond.calibration,
    "bandwidth": beyond.bandwidth,
    "energy": beyond.energy,
}


def draw_profile(folder: Path) -> list[Path]:
    """Draw everything from the JSON in ``folder`` -> the files without their endings. Raises ResultsMissingError."""
    results = load_results(folder)
    drawn = []
    with styled():
        for name, figure_of in FIGURES.items():
            path = folder / name
            save(figure_of(results), path)
            drawn.append(path)
    return drawn
