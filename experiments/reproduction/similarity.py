# SPDX-License-Identifier: Apache-2.0
"""Fig. 4 and what SimNet knows: accuracy and similarity by bandwidth, and the estimate against the truth in each cell.

Math     Pearson's r over the bandwidths of the means; Spearman's over the images of a (BER, t) cell, mean over seeds
"""

import math
import warnings

import numpy as np
from scipy.stats import ConstantInputWarning, pearsonr, spearmanr

from experiments.evaluation.machine import Record
from experiments.evaluation.outcomes import Floats, Outcomes
from experiments.evaluation.passes import SHUFFLED, TRUTH
from experiments.reproduction.material import Material
from experiments.reproduction.resampling import Values, interval
from models.systems import StopRule

_ESTIMATE = str(StopRule.SIMILARITY)


def similarity(material: Material) -> Record:
    """``cells``: a BER and t each; ``correlations``: a BER each."""
    cells = [_cell(material, ber, t) for ber in material.test for t in material.steps]
    return {"cells": cells, "correlations": [_correlation(material, ber) for ber in material.test]}


def _cell(material: Material, ber: float, t: int) -> Record:
    outcomes, point = material.test[ber], t - material.profile.t0
    columns = {
        "accuracy": 100 * material.fixed[t, ber].correct_N,
        "mean_estimate": _over_seeds(outcomes, _ESTIMATE, point),
        "mean_similarity": _over_seeds(outcomes, TRUTH, point),
        "mean_shuffled": _over_seeds(outcomes, SHUFFLED, point),
    }
    means_R = material.resampler.means(*columns.values())
    truth = outcomes.scores[TRUTH][..., point]
    figures: Record = {
        "ber": ber,
        "t": t,
        "bandwidth_bits": material.fixed_bits[point],
    }
    for name, column_N, resamples in zip(columns, columns.values(), means_R.T, strict=True):
        figures[name] = float(column_N.mean())
        figures[f"{name}_interval"] = interval(resamples)
    for name, score in (("", _ESTIMATE), ("_shuffled", SHUFFLED)):
        estimate = outcomes.scores[score][..., point]
        figures[f"rmse{name}"] = float(np.sqrt(np.mean((estimate - truth) ** 2, dtype=np.float64)))
        figures[f"spearman{name}"] = _spearman(estimate, truth)
    return figures


def _over_seeds(outcomes: Outcomes, score: str, point: int) -> Values:
    values: Values = outcomes.scores[score][..., point].astype(np.float64).mean(axis=0)
    return values


def _spearman(estimate_AN: Floats, truth_AN: Floats) -> float | None:
    """None where an estimate does not vary: it then has no ranks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        mean = float(np.mean([spearmanr(x, y).statistic for x, y in zip(estimate_AN, truth_AN, strict=True)]))
    return mean if math.isfinite(mean) else None


def _correlation(material: Material, ber: float) -> Record:
    accuracy = [material.fixed[t, ber].accuracy for t in material.steps]
    figures: Record = {"ber": ber, "accuracy_span": max(accuracy) - min(accuracy)}
    for name, score in (("estimate", _ESTIMATE), ("similarity", TRUTH)):
        means = material.test[ber].scores[score].mean(axis=(0, 1), dtype=np.float64)
        varied = max(accuracy) > min(accuracy) and means.max() > means.min()
        figures[f"pearson_{name}"] = float(pearsonr(means, accuracy).statistic) if varied else None
    return figures
