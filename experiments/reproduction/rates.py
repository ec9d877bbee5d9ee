# SPDX-License-Identifier: Apache-2.0
"""Accuracy and bandwidth: every system at every BER (Fig. 5), and accuracy against bandwidth at some BERs.

Units    accuracy in percent, bandwidth in bits, theta as the rule's score, shares in 0..1.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.machine import Record
from experiments.evaluation.rules import MULTI_RATE, Trial, at_point, by_threshold
from experiments.evaluation.thresholds import threshold_for_share
from experiments.reproduction.control import control
from experiments.reproduction.material import DEFAULT, LABEL_ORACLE, SETTINGS, Material
from experiments.reproduction.resampling import interval
from models.systems import SYSTEMS, first_frame

CONTROL: Final = "control"
#: Mean bandwidths over the BERs at which a trade-off curve has its points.
_CURVE_SHARES: Final = tuple(round(0.05 * k, 2) for k in range(21))


def rates(material: Material) -> Record:
    """``points``: a system, a setting and a BER each; ``trade_off``: a curve a rule and BER."""
    points = [
        _point(material, trial, {"system": name, "setting": setting, "theta": material.thresholds[name][setting]}, ber)
        for (name, setting, ber), trial in material.harq.items()
    ]
    points += [
        _point(material, trial, {"system": MULTI_RATE, "setting": f"t={t}", "t": t}, ber)
        for (t, ber), trial in material.fixed.items()
    ]
    points += [
        _point(material, trial, {"system": name, "setting": setting}, ber)
        for (name, setting, ber), trial in material.baseline_trials.items()
    ]
    points += [
        _point(material, trial, {"system": LABEL_ORACLE, "setting": DEFAULT}, ber)
        for ber, trial in material.label_oracle.items()
    ]
    points += [
        _point(material, trial, {"system": CONTROL, "setting": setting, "for": name}, ber)
        for name in material.systems
        for setting in (*SETTINGS, DEFAULT)
        for ber, trial in control(material, name, setting).items()
    ]
    direct_N = next(iter(material.test.values())).direct_correct_N
    return {"points": points, "trade_off": _trade_off(material), "backbone": _backbone(material, direct_N)}


def _point(material: Material, trial: Trial, key: Record, ber: float) -> Record:
    accuracy_R, bits_R = material.resampler.means(trial.correct_N, trial.bits_N).T
    return {
        **key,
        "ber": ber,
        "accuracy": trial.accuracy,
        "accuracy_interval": interval(100 * accuracy_R),
        "bandwidth_bits": trial.bandwidth_bits,
        "bandwidth_interval": interval(bits_R),
        "rounds": 1.0 if _fixed(str(key["system"])) else trial.mean_rounds,
        "share_by_t": list(trial.share_S),
    }


def _fixed(name: str) -> bool:
    return name == CONTROL or (name in SYSTEMS and not SYSTEMS[name].is_harq)


def _trade_off(material: Material) -> list[Record]:
    curves: list[Record] = []
    for name, rule in material.rules.items():
        thetas = [threshold_for_share(rule, material.validation, share) for share in _CURVE_SHARES]
        for ber in material.shown_bers:
            trials = [by_threshold(rule, material.test[ber], theta) for theta in thetas]
            curves.append(_curve(name, ber, trials))
    for ber in material.shown_bers:
        fixed = [at_point(material.test[ber], point, material.fixed_bits) for point in range(material.test[ber].points)]
        curves.append(_curve(MULTI_RATE, ber, fixed))
    for name in material.baselines:
        for ber in material.shown_bers:
            trials = [trial for key, trial in material.baseline_trials.items() if (key[0], key[2]) == (name, ber)]
            curves.append(_curve(name, ber, trials))
    return curves


def _curve(name: str, ber: float, trials: list[Trial]) -> Record:
    return {
        "system": name,
        "ber": ber,
        "bandwidth_bits": [trial.bandwidth_bits for trial in trials],
        "accuracy": [trial.accuracy for trial in trials],
    }


def _backbone(material: Material, correct_N: NDArray[np.bool_]) -> Record:
    """Without a link, and the bits that it would take to send the feature as it is."""
    bits = first_frame(SYSTEMS["bypass"], material.profile.harq).bits
    return share_correct(material, correct_N) | {"bandwidth_bits": bits}


def share_correct(material: Material, correct_N: NDArray[np.bool_]) -> Record:
    """Accuracy in percent with its interval."""
    (accuracy_R,) = material.resampler.means(correct_N.astype(np.float64)).T
    return {"accuracy": 100 * float(correct_N.mean()), "accuracy_interval": interval(100 * accuracy_R)}
