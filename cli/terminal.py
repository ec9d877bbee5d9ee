# SPDX-License-Identifier: Apache-2.0
"""Where commands write: the terminal's width up to a limit, and signs that its encoding has."""

from dataclasses import dataclass
from typing import Final

from rich.console import Console

MAX_WIDTH: Final = 120


@dataclass(frozen=True)
class Signs:
    """The characters that drawings are made of."""

    lifeline: str
    line: str
    right: str
    left: str
    at_most: str
    theta: str
    blocks: str
    right_mark: str
    wrong_mark: str


UNICODE: Final = Signs("│", "─", "▶", "◀", "≤", "θ", "▏▎▍▌▋▊▉█", "✓", "✗")
ASCII: Final = Signs("|", "-", ">", "<", "<=", "theta", "#", "+", "-")


def output() -> Console:
    """The console on stdout. Colours only on a terminal; 80 columns where there is none."""
    console = Console(highlight=False, emoji=False)
    console.width = min(console.width, MAX_WIDTH)
    return console


def signs_of(console: Console) -> Signs:
    """What the console's encoding can show."""
    return ASCII if console.options.ascii_only else UNICODE


def bar(share: float, width: int, signs: Signs) -> str:
    """A bar of ``share`` of the width, to the fraction of a cell that the signs allow."""
    steps = len(signs.blocks)
    filled = round(max(0.0, min(1.0, share)) * width * steps)
    return signs.blocks[-1] * (filled // steps) + (signs.blocks[filled % steps - 1] if filled % steps else "")
