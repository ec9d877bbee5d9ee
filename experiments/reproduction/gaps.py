# SPDX-License-Identifier: Apache-2.0
"""Table I: a HARQ system minus Multi-rate at equal mean bandwidth, signed, with intervals from the paired bootstrap.

Multi-rate's accuracy is interpolated linearly between its t's. On the paper's axis it costs 32 + 512 t bits, on the
true one 512 t. Each gap names the axis that is fair to it first: the paper's where the system sends K, as in Table I
of arXiv 2310.08804; the true one where it does not. The control policy is compared at its own, true bandwidth.
Multi-rate counts with the noise seeds that the other side was measured with.
"""

from typing import Final

import numpy as np

from channel.bits import PRIOR_BITS, STEP_BITS
from experiments.evaluation.machine import Record
from experiments.evaluation.rules import Trial
from experiments.reproduction.control import control
from experiments.reproduction.material import SETTINGS, Material
from experiments.reproduction.resampling import Values, interval

PAPER_AXIS: Final = "paper"
TRUE_AXIS: Final = "true"


def gaps(material: Material) -> Record:
    """``cells``: a rule, setting and BER each, in points; ``means`` over the cells of the three settings."""
    cells: list[Record] = []
    means: list[Record] = []
    for name, rule in material.rules.items():
        own = PAPER_AXIS if rule.bits_S[0] > material.fixed_bits[0] else TRUE_AXIS
        samples: dict[str, list[Values]] = {kind: [] for kind in (PAPER_AXIS, TRUE_AXIS, "control")}
        for setting in material.thresholds[name]:
            against = control(material, name, setting)
            for ber in material.test:
                trial = material.harq[name, setting, ber]
                found = _cell(material, trial, ber, against[ber])
                if setting in SETTINGS:
                    for kind, values_R in found.items():
                        samples[kind].append(values_R)
                cells.append(
                    {"system": name, "setting": setting, "ber": ber, "axis": own, **_figures(found)}
                    | {"bandwidth_bits": trial.bandwidth_bits, "control_bits": against[ber].bandwidth_bits}
                )
        means.append({"system": name, "axis": own, **_figures({k: np.mean(v, axis=0) for k, v in samples.items()})})
    return {"cells": cells, "means": means, "settings": list(SETTINGS), "baselines": _baselines(material)}


def _baselines(material: Material) -> list[Record]:
    """The baselines with codecs of their own, on the true axis, from Multi-rate's fewest bits on."""
    rows: list[Record] = []
    for (name, setting, ber), trial in material.baseline_trials.items():
        if trial.bandwidth_bits >= material.fixed_bits[0]:
            figures = _figures({TRUE_AXIS: _cell(material, trial, ber, trial)[TRUE_AXIS]})
            rows.append({"system": name, "setting": setting, "ber": ber, **figures})
    return rows


def _cell(material: Material, trial: Trial, ber: float, against: Trial) -> dict[str, Values]:
    """Each kind of gap in points: the figure itself first, then its resamples."""
    fixed = [material.fixed_trial(t, ber, trial.seeds).correct_N for t in material.steps]
    columns = (trial.correct_N, trial.bits_N, against.correct_N, *fixed)
    means_R = material.resampler.figures(*columns)
    correct_R, bits_R, control_R, fixed_RT = means_R[:, 0], means_R[:, 1], means_R[:, 2], means_R[:, 3:]
    return {
        PAPER_AXIS: 100 * (correct_R - interpolated(fixed_RT, bits_R - PRIOR_BITS, material.profile.t0)),
        TRUE_AXIS: 100 * (correct_R - interpolated(fixed_RT, bits_R, material.profile.t0)),
        "control": 100 * (correct_R - control_R),
    }


def _figures(found: dict[str, Values]) -> Record:
    """``gap_AXIS`` and its interval."""
    figures: Record = {}
    for kind, values_R in found.items():
        figures[f"gap_{kind}"] = float(values_R[0])
        figures[f"interval_{kind}"] = interval(values_R[1:])
    return figures


def interpolated(fixed_RT: Values, spike_bits_R: Values, t0: int) -> Values:
    """Multi-rate's figure at so many bits of spikes, between its t's; at the ends what it has there -> [R]."""
    position_R = np.clip(spike_bits_R / STEP_BITS - t0, 0, fixed_RT.shape[1] - 1)
    low_R = np.minimum(position_R.astype(np.int64), fixed_RT.shape[1] - 2)
    part_R = position_R - low_R
    rows_R = np.arange(len(fixed_RT))
    values: Values = (1 - part_R) * fixed_RT[rows_R, low_R] + part_R * fixed_RT[rows_R, low_R + 1]
    return values
