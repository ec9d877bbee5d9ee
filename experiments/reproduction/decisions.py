# SPDX-License-Identifier: Apache-2.0
"""How well each score tells right labels from wrong ones, at the first decision (t = t0): ROC and calibration.

Math     AUC = P(score of a right one > score of a wrong one), ties counted half
         ECE = mean over images of |share right - predicted| in 10 bins of the predicted probability
A score becomes a probability by a table made on validation, all BERs together: 20 bins of equal size, each with its
share of right labels. ECE then says whether the score means the same at every BER.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from experiments.evaluation.machine import Record
from experiments.evaluation.outcomes import Bools, Floats, Outcomes
from experiments.evaluation.passes import PROBABILITY
from experiments.reproduction.material import Material
from models.systems import StopRule

_TABLE_BINS: Final = 20
_BINS: Final = 10
_ROC_POINTS: Final = 101


def decisions(material: Material) -> Record:
    """``scores``: a score and BER each, with its AUC at every t, its ROC and its calibration at t0."""
    # What the learned rule says of more bits does not rank right labels before wrong ones, nor is it meant to.
    names = tuple(name for name in next(iter(material.test.values())).scores if name != StopRule.OUTLOOK)
    tables = {name: _table(material, name) for name in names}
    scores = [_score(outcomes, name, tables[name], material) for name in names for outcomes in material.test.values()]
    return {"scores": scores, "t": material.profile.t0}


def _score(outcomes: Outcomes, name: str, table: tuple[Floats, Floats], material: Material) -> Record:
    right, score = outcomes.correct_ANS[..., 0].ravel(), outcomes.scores[name][..., 0].ravel()
    figures: Record = {"score": name, "ber": outcomes.ber}
    figures["auc_by_t"] = [
        area(outcomes.scores[name][..., point].ravel(), outcomes.correct_ANS[..., point].ravel())
        for point in range(outcomes.points)
    ]
    if outcomes.ber in (0.0, *material.shown_bers):
        figures["roc"] = _roc(score, right)
    figures |= _calibration(np.interp(score, *table), right)
    if name == PROBABILITY:
        figures["ece_raw"] = _calibration(score, right)["ece"]
    return figures


def area(score_N: Floats, right_N: Bools) -> float | None:
    """The area under the ROC, None where all are right or all are wrong."""
    positive, negative = int(right_N.sum()), int((~right_N).sum())
    if not positive or not negative:
        return None
    ranks = rankdata(score_N)[right_N].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def _roc(score_N: Floats, right_N: Bools) -> dict[str, list[float]]:
    """Share of wrong labels accepted, and of right ones, at thresholds that accept ever more."""
    thetas = np.quantile(score_N, np.linspace(1, 0, _ROC_POINTS))

    def accepted(some_N: Bools) -> list[float]:
        ordered = np.sort(score_N[some_N])
        return list(1 - np.searchsorted(ordered, thetas, side="left") / max(1, len(ordered)))

    return {"wrong_accepted": [0.0, *accepted(~right_N)], "right_accepted": [0.0, *accepted(right_N)]}


def _table(material: Material, name: str) -> tuple[Floats, Floats]:
    """(mean score, share right) of bins of equal size on validation."""
    measured = material.validation.values()
    score = np.concatenate([outcomes.scores[name][..., 0].ravel() for outcomes in measured])
    right = np.concatenate([outcomes.correct_ANS[..., 0].ravel() for outcomes in measured])
    bins = np.array_split(np.argsort(score, kind="stable"), _TABLE_BINS)
    bins = [rows for rows in bins if len(rows)]
    return (
        np.array([score[rows].mean() for rows in bins], dtype=np.float32),
        np.array([right[rows].mean() for rows in bins], dtype=np.float32),
    )


def _calibration(predicted_N: NDArray[np.floating], right_N: Bools) -> Record:
    bins = np.minimum((predicted_N * _BINS).astype(np.int64), _BINS - 1)
    curve, error = [], 0.0
    for index in range(_BINS):
        rows = bins == index
        if rows.any():
            mean, share = float(predicted_N[rows].mean(dtype=np.float64)), float(right_N[rows].mean())
            curve.append({"predicted": mean, "right": share, "images": float(rows.mean())})
            error += float(rows.mean()) * abs(share - mean)
    return {"calibration": curve, "ece": error}
