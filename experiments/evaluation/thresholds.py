# SPDX-License-Identifier: Apache-2.0
"""Thresholds, chosen on validation outcomes: a default for each HARQ system, and those of the figures.

Two rules choose defaults, and neither spends more than LIMIT_BITS at the smallest BER.
``budget`` is the paper's policy, which names no rule of its own: the largest theta that the limit allows.
``gain`` is ours: the theta that maximises, averaged over the BERs, accuracy - price x bits, where the price of a bit
is what a fixed rate on the same codec (Multi-rate on the paper's) gains by it between its smallest t and its largest,
averaged over the same BERs. A bit is then sent only where it buys at least what the same bit buys a fixed rate, so
nothing is spent where more bits change no label. From theta to theta the figures of 2,500 images jump by more than they
rise, so that what a theta is worth is its mean over 0.1 around it.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.rules import Choice, Rule, at_point, by_threshold

#: Validation's mean bandwidth at BER 0 that defaults may spend; 92 bits below the 2,592 that they may spend on the test
#: set, because 2,500 validation images fix the mean only to about 20 bits.
LIMIT_BITS: Final = 2500.0
#: The figures' thresholds: mean bandwidth over the BERs at these shares of the way from the smallest to the largest.
FIGURE_SHARES: Final = (0.25, 0.5, 0.75)
STEP: Final = 0.001
_GRID: Final = np.round(np.arange(-1.0, 1.0 + STEP / 2, STEP), 3)

#: The gain rule's thetas are 0.01 apart, and five on each side count.
_COARSE: Final = 10
_WINDOW: Final = 5

Measured = Mapping[float, Outcomes]


def default_threshold(rule: Rule, measured: Measured, limit_bits: float = LIMIT_BITS) -> float:
    """The default theta of a system's rule.

    Raises ValueError for a rule that no system has, and where even the smallest theta costs more than the limit.
    """
    if rule.default is None:
        raise ValueError(f"{rule.name} belongs to no system, so it has no default threshold")
    clean = measured[min(measured)]
    fitting = _prefix(lambda theta: by_threshold(rule, clean, theta).bandwidth_bits <= limit_bits)
    if not fitting:
        raise ValueError(f"{rule.name} needs more than {limit_bits:.0f} bits at any threshold")
    if rule.default is Choice.BUDGET:
        return float(_GRID[fitting - 1])
    price = price_per_bit(rule, measured)

    def worth(theta: float) -> float:
        trials = [by_threshold(rule, outcomes, theta) for outcomes in measured.values()]
        return float(np.mean([trial.accuracy - price * trial.bandwidth_bits for trial in trials]))

    thetas = _GRID[::_COARSE]
    worths = np.array([worth(float(theta)) for theta in thetas])
    smooth = [worths[max(0, i - _WINDOW) : i + _WINDOW + 1].mean() for i in range(-(-fitting // _COARSE))]
    return float(thetas[int(np.argmax(smooth))])


def price_per_bit(rule: Rule, measured: Measured) -> float:
    """Points of accuracy that the codec gains by a bit between its ends, the mean over the BERs; never negative."""
    last = len(rule.bits_S) - 1
    gains = [
        at_point(outcomes, last, rule.bits_S).accuracy - at_point(outcomes, 0, rule.bits_S).accuracy
        for outcomes in measured.values()
    ]
    return max(0.0, float(np.mean(gains)) / (rule.bits_S[last] - rule.bits_S[0]))


def threshold_for_share(rule: Rule, measured: Measured, share: float) -> float:
    """The largest theta whose mean bandwidth over the BERs is at most ``share`` of the way between its ends.

    To four decimals: an estimate of similarity may not vary by more than some hundredths.
    """
    target = rule.bits_S[0] + share * (rule.bits_S[-1] - rule.bits_S[0])
    low, high = -1.0, 1.0
    while high - low > STEP / 20:
        middle = (low + high) / 2
        bits = np.mean([by_threshold(rule, outcomes, middle).bandwidth_bits for outcomes in measured.values()])
        low, high = (middle, high) if bits <= target else (low, middle)
    return round(low, 4)


def _prefix(holds: Callable[[float], bool]) -> int:
    """How many thetas of the grid hold, where those that hold come first."""
    low, high = 0, len(_GRID)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if holds(float(_GRID[middle])) else (low, middle)
    return low
