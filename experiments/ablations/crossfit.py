# SPDX-License-Identifier: Apache-2.0
"""Cross-fitting: the images are cut into folds, and each fold is scored by a network that has seen others alone.

An image belongs to one fold at all BERs, seeds and t's. Images stand in the order of their ids, which are hashes, so
every n-th of them is as good as a draw.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.evaluation.outcomes import Floats, Outcomes
from experiments.training.outlook import Fitting, Rows, fit, loss, predict, rows_of


def fold_of(images: int, folds: int) -> NDArray[np.int64]:
    """The fold of each image, [N]."""
    return np.arange(images) % folds


@dataclass(frozen=True)
class Predicted:
    """By BER, what was predicted of each image at each point [A, N, S, 3]; the mean loss of it, in nats."""

    fates: Mapping[float, Floats]
    loss: float


def out_of_fold(
    by_ber: Mapping[float, tuple[Outcomes, Floats]], folds: int, fitting: Fitting, done: Callable[[int], None]
) -> Predicted:
    """From outcomes and inputs [A, N, S, F]. ``done`` hears of the images that are predicted.

    The fold after an image's own says which epoch of the network counts. Raises ValueError where there are too few
    images for the folds.
    """
    images = next(outcomes.images for outcomes, _ in by_ber.values())
    if not 3 <= folds <= images:
        raise ValueError(f"{images} images are cut into 3 to {images} folds, not into {folds}")
    fold_N, cells = fold_of(images, folds), list(by_ber.values())
    predicted = {ber: np.empty((*x_ANSF.shape[:3], 3), dtype=np.float32) for ber, (_, x_ANSF) in by_ber.items()}
    losses = []
    for fold in range(folds):
        held_N, choosing_N = fold_N == fold, fold_N == (fold + 1) % folds
        network = fit(_rows(cells, ~held_N & ~choosing_N), _rows(cells, choosing_N), fitting)
        for ber, (_, x_ANSF) in by_ber.items():
            predicted[ber][:, held_N] = predict(network, x_ANSF[:, held_N])
        with torch.inference_mode():
            losses.append(float(loss(network, _rows(cells, held_N))))
        done(int(held_N.sum()))
    return Predicted(predicted, float(np.mean(losses)))


def _rows(cells: Sequence[tuple[Outcomes, Floats]], chosen_N: NDArray[np.bool_]) -> Rows:
    return rows_of([(outcomes.correct_ANS[:, chosen_N], x_ANSF[:, chosen_N]) for outcomes, x_ANSF in cells])
