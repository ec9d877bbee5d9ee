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

from experiments.ablations.scorer import Fitting, Rows, fates, fit
from experiments.evaluation.outcomes import Floats, Outcomes


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
        scorer = fit(_rows(cells, ~held_N & ~choosing_N), _rows(cells, choosing_N), fitting)
        for ber, (_, x_ANSF) in by_ber.items():
            predicted[ber][:, held_N] = scorer.predict(x_ANSF[:, held_N])
        with torch.inference_mode():
            losses.append(float(scorer.loss(_rows(cells, held_N))))
        done(int(held_N.sum()))
    return Predicted(predicted, float(np.mean(losses)))


def _rows(cells: Sequence[tuple[Outcomes, Floats]], chosen_N: NDArray[np.bool_]) -> Rows:
    """Every point but the last, where nothing is left to decide; a BER counts alike however many seeds it has."""
    x, fate, weight = [], [], []
    for outcomes, x_ANSF in cells:
        some = x_ANSF[:, chosen_N, :-1]
        x.append(some.reshape(-1, some.shape[-1]))
        fate.append(fates(outcomes.correct_ANS[:, chosen_N]).reshape(-1, 3))
        weight.append(np.full(len(x[-1]), 1 / len(some), dtype=np.float32))
    return Rows(*(torch.from_numpy(np.concatenate(parts)) for parts in (x, fate, weight)))
