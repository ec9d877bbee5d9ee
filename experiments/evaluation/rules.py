# SPDX-License-Identifier: Apache-2.0
"""Stop rules applied to measured outcomes: which point counts for each image, and what that costs."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.outcomes import Floats, Outcomes
from experiments.evaluation.passes import PROBABILITY, SHUFFLED, TRUTH, frames_of
from models.codecs import SNN_SC, Whole
from models.frames import HarqParameters
from models.systems import SYSTEMS, StopRule, System

#: The fixed rate of the paper's codec, which every stop rule on that codec is compared with.
MULTI_RATE: Final = "multi-rate"


class Choice(StrEnum):
    """How a default theta is chosen (experiments/evaluation/thresholds.py)."""

    BUDGET = "budget"
    GAIN = "gain"


@dataclass(frozen=True)
class Rule:
    """Stop at the first point whose score exceeds theta; ``bits_S`` is the payload up to each point.

    ``default`` says how its default theta is chosen; rules that no system has, oracles and comparisons, have none.
    """

    name: str
    score: str
    bits_S: tuple[int, ...]
    default: Choice | None = None


@dataclass(frozen=True)
class Trial:
    """A system at one BER and setting, the seeds averaged: for each image how often right and how many bits."""

    correct_N: NDArray[np.float64]
    bits_N: NDArray[np.float64]
    share_S: tuple[float, ...]
    seeds: int

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * float(self.correct_N.mean())

    @property
    def half_width(self) -> float:
        """Of the accuracy's 95 % interval over images, in points."""
        return 100 * 1.96 * float(self.correct_N.std()) / float(np.sqrt(len(self.correct_N)))

    @property
    def bandwidth_bits(self) -> float:
        return float(self.bits_N.mean())

    @property
    def mean_rounds(self) -> float:
        return 1 + sum(column * share for column, share in enumerate(self.share_S))


def payload_bits(system: System, harq: HarqParameters) -> tuple[int, ...]:
    """The payload of a session that ends at each point where the system could stop, or of each fixed t."""
    return tuple(int(total) for total in np.cumsum([frame.bits for frame in frames_of(system, harq)]))


def fixed_rates(system: System, harq: HarqParameters) -> range:
    """The t's of a system whose rate the caller chooses, one a point."""
    rate = system.codec.rate
    if isinstance(rate, Whole) or not system.takes_t:
        raise ValueError(f"system {system.name} takes no t")
    first, last = rate.range(harq)
    return range(first, last + 1)


def rule_of(system: System, harq: HarqParameters) -> Rule:
    """The rule of a HARQ system that compares a score with theta."""
    return Rule(system.name, system.stop, payload_bits(system, harq), _default(system))


def harq_rules(harq: HarqParameters, scores: Collection[str]) -> dict[str, Rule]:
    """The HARQ systems on the paper's codec that compare a score with theta, where it is among ``scores``."""
    return {
        name: rule_of(system, harq)
        for name, system in SYSTEMS.items()
        if system.codec is SNN_SC and system.takes_threshold and system.stop in scores
    }


def compared_rules(harq: HarqParameters) -> dict[str, Rule]:
    """What no system does: the rule of the largest probability, an oracle, and SimNet with another image's K."""
    plain = payload_bits(SYSTEMS[MULTI_RATE], harq)
    with_prior = payload_bits(SYSTEMS["snn-sc-harq"], harq)
    rules = (
        Rule("largest-probability", PROBABILITY, plain),
        Rule("oracle-similarity", TRUTH, plain),
        Rule("snn-sc-harq, K shuffled", SHUFFLED, with_prior),
    )
    return {rule.name: rule for rule in rules}


def _default(system: System) -> Choice:
    return Choice.BUDGET if system.stop is StopRule.SIMILARITY else Choice.GAIN


def stop_columns(score_XS: Floats, theta: float) -> NDArray[np.int64]:
    """The first point whose score exceeds theta (float32), the last one where none does; any axes before the last."""
    above_XS = score_XS > np.float32(theta)
    above_XS[..., -1] = True
    column_X: NDArray[np.int64] = above_XS.argmax(axis=-1)
    return column_X


def by_threshold(rule: Rule, outcomes: Outcomes, theta: float) -> Trial:
    """The rule at one threshold."""
    return trial(outcomes, stop_columns(outcomes.scores[rule.score], theta), rule.bits_S)


def at_point(outcomes: Outcomes, point: int, bits_S: tuple[int, ...]) -> Trial:
    """Every image stops at the same point: a fixed rate."""
    return trial(outcomes, np.full(outcomes.correct_ANS.shape[:2], point), bits_S)


def by_crc(outcomes: Outcomes, bits_S: tuple[int, ...]) -> Trial:
    """Stop where the CRC holds first."""
    return trial(outcomes, stop_columns(outcomes.scores[StopRule.CRC], 0.5), bits_S)


def first_correct(outcomes: Outcomes, bits_S: tuple[int, ...]) -> Trial:
    """The oracle that knows the label: stops as soon as it is right, and at once where it never will be."""
    return trial(outcomes, outcomes.correct_ANS.argmax(axis=2), bits_S)


def trial(outcomes: Outcomes, column_AN: NDArray[np.int64], bits_S: tuple[int, ...]) -> Trial:
    """What the chosen points come to."""
    correct_AN = np.take_along_axis(outcomes.correct_ANS, column_AN[:, :, None], axis=2)[:, :, 0]
    share_S = np.bincount(column_AN.ravel(), minlength=outcomes.points) / column_AN.size
    bits_AN = np.asarray(bits_S, dtype=np.float64)[column_AN]
    shares = tuple(float(share) for share in share_S)
    return Trial(correct_AN.mean(axis=0), bits_AN.mean(axis=0), shares, len(column_AN))
