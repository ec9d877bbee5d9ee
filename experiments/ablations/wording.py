# SPDX-License-Identifier: Apache-2.0
"""How figures of ablations are said: differences with their intervals, and what these mean."""

from typing import Final

from experiments.figures.results import Row
from experiments.figures.targets import bracket, signed

#: In place of a BER, t or share: the mean over all of them.
ALL: Final = "all"


def verdict(figure: Row) -> str:
    """What an interval says of a difference."""
    low, high = figure["interval"]
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def points(figure: Row) -> str:
    return f"{signed(figure['points'])} {bracket(figure['interval'])}"


def said(ber: float | str) -> str:
    return "all" if ber == ALL else f"{ber:g}"
