# SPDX-License-Identifier: Apache-2.0
"""Stop rules compared at equal mean bandwidth, over a common range of it, with Multi-rate between its t's.

Units    bandwidth in bits, gaps in points of accuracy; ``share`` of the way from the bits at t0 to those at T.
Math     gap = accuracy of the rule - Multi-rate's, interpolated linearly at the rule's mean bandwidth
A theta is the largest that spends the target, to four decimals: no label chooses it. At one BER it is that BER's own;
over all BERs one theta serves all, as it would where nobody tells the rule which BER there is. Arrays of figures hold
the figure itself first and its resamples after; equal images have equal resamples, so differences keep their pairing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from experiments.ablations.wording import ALL
from experiments.evaluation.machine import Record
from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.rules import Rule, at_point, by_threshold
from experiments.evaluation.thresholds import threshold_for_share
from experiments.reproduction.gaps import interpolated
from experiments.reproduction.resampling import Resampler, Values, interval

MARGIN_RULE: Final = "snn-sc-margin-harq"
PROBABILITY_RULE: Final = "largest-probability"
#: Mean bandwidths at which rules are compared.
SHARES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)

Measured = Mapping[float, Outcomes]


def groups(measured: Measured) -> dict[float | str, Measured]:
    """Each BER alone, then all of them."""
    return {**{ber: {ber: outcomes} for ber, outcomes in measured.items()}, ALL: measured}


@dataclass(frozen=True)
class Spent:
    """A rule at one target: for each image how often right and how many bits, in the mean over the group's BERs."""

    share: float
    theta: float
    correct_N: Values
    bits_N: Values


def spend(rule: Rule, group: Measured, axis_S: tuple[int, ...], shares: Sequence[float] = SHARES) -> list[Spent]:
    """The rule at each target bandwidth, the targets shares of ``axis_S``, Multi-rate's bits; K's come out of them."""
    found, prior = [], (rule.bits_S[0] - axis_S[0]) / (axis_S[-1] - axis_S[0])
    for share in shares:
        theta = threshold_for_share(rule, group, share - prior)
        trials = [by_threshold(rule, outcomes, theta) for outcomes in group.values()]
        correct_N, bits_N = (
            np.mean(column, axis=0) for column in zip(*((t.correct_N, t.bits_N) for t in trials), strict=True)
        )
        found.append(Spent(share, theta, correct_N, bits_N))
    return found


def multi_rate(group: Measured, bits_S: tuple[int, ...]) -> list[Values]:
    """For each t, how often each image is right, in the mean over the group's BERs."""
    points = range(len(bits_S))
    return [np.mean([at_point(o, point, bits_S).correct_N for o in group.values()], axis=0) for point in points]


@dataclass(frozen=True)
class Line:
    """Multi-rate over one group of BERs: fixed_RT, the share that is right at each t."""

    fixed_RT: Values
    t0: int

    def gap(self, spent: Spent, resampler: Resampler) -> Values:
        """The signed gap in points -> [1 + R]."""
        correct_R, bits_R = resampler.figures(spent.correct_N, spent.bits_N).T
        values: Values = 100 * (correct_R - interpolated(self.fixed_RT, bits_R, self.t0))
        return values


def line(group: Measured, bits_S: tuple[int, ...], t0: int, resampler: Resampler) -> Line:
    """Multi-rate's line of a group."""
    return Line(resampler.figures(*multi_rate(group, bits_S)), t0)


def figure(values_R: Values) -> Record:
    """``points`` and its interval."""
    return {"points": float(values_R[0]), "interval": interval(values_R[1:])}
