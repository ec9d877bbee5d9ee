# SPDX-License-Identifier: Apache-2.0
"""The control policy: sees p and t and nothing of the image, and spends the same mean bandwidth as a HARQ system.

At each BER it draws between two t's: the pair, with the shares that meet the bandwidth, whose accuracy on validation
is largest. The draw of an image is keyed by its id and shifted from seed to seed, so it can be repeated.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.rules import Trial, at_point, trial
from experiments.reproduction.material import Material

_DIGITS: Final = slice(13, 26)  # of the id; the first 13 key the noise
_GOLDEN: Final = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Mix:
    """Stop at point ``high`` with probability ``share``, else at ``low``."""

    low: int
    high: int
    share: float


def best_mix(outcomes: Outcomes, bits_S: tuple[int, ...], target_bits: float) -> Mix:
    """The pair of points, mixed to ``target_bits``, that is most often right; an end where the target lies outside."""
    accuracy_S = [at_point(outcomes, point, bits_S).accuracy for point in range(outcomes.points)]
    target = float(np.clip(target_bits, bits_S[0], bits_S[-1]))
    mixes = [
        Mix(low, high, 0.0 if high == low else (target - bits_S[low]) / (bits_S[high] - bits_S[low]))
        for low in range(outcomes.points)
        for high in range(low, outcomes.points)
        if bits_S[low] <= target <= bits_S[high] and (low < high or bits_S[low] == target)
    ]
    return max(mixes, key=lambda mix: (1 - mix.share) * accuracy_S[mix.low] + mix.share * accuracy_S[mix.high])


def draws(ids: tuple[str, ...], seeds: int) -> NDArray[np.float64]:
    """u_AN in [0, 1): one number an image and seed."""
    u_N = np.array([int(name[_DIGITS], 16) / 16**13 for name in ids])
    u_AN: NDArray[np.float64] = (u_N[None, :] + _GOLDEN * np.arange(seeds)[:, None]) % 1.0
    return u_AN


def control(material: Material, rule_name: str, setting: str) -> dict[float, Trial]:
    """By BER, the control policy at the mean bandwidth of a rule's test trial; which t's it mixes, validation says."""
    trials = {}
    for ber, outcomes in material.test.items():
        target_bits = material.harq[rule_name, setting, ber].bandwidth_bits
        mix = best_mix(material.validation[ber], material.fixed_bits, target_bits)
        u_AN = draws(material.ids, outcomes.correct_ANS.shape[0])
        trials[ber] = trial(outcomes, np.where(u_AN < mix.share, mix.high, mix.low), material.fixed_bits)
    return trials
