# SPDX-License-Identifier: Apache-2.0
"""Paired bootstrap over images: every figure sees the same resampled images, so that differences keep their pairing.

Seeds are averaged image by image before; the interval is that of other images, not of other noise.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

REPLICATES: Final = 2000
_SEED: Final = 0
_BLOCK: Final = 100

Values = NDArray[np.float64]


class Resampler:
    """R resamples of N images, drawn once."""

    def __init__(self, images: int, replicates: int = REPLICATES) -> None:
        generator = np.random.default_rng(_SEED)
        draws = (np.bincount(generator.integers(images, size=images), minlength=images) for _ in range(replicates))
        self._counts_RN = np.stack([draw.astype(np.uint8) for draw in draws])

    def means(self, *columns_N: Values) -> Values:
        """Means of per-image columns in each resample -> [R, columns]."""
        columns_NC = np.stack(columns_N, axis=1).astype(np.float64)
        replicates, images = self._counts_RN.shape
        blocks = (self._counts_RN[start : start + _BLOCK] for start in range(0, replicates, _BLOCK))
        means_RC: Values = np.concatenate([block.astype(np.float64) @ columns_NC for block in blocks]) / images
        return means_RC

    def figures(self, *columns_N: Values) -> Values:
        """Means of per-image columns, the figures themselves first and their resamples after -> [1 + R, columns]."""
        whole = np.array([[column.mean() for column in columns_N]])
        return np.concatenate((whole, self.means(*columns_N)))


def interval(values_R: Values) -> list[float]:
    """The central 95 % of a figure's resamples, [low, high]."""
    return [float(value) for value in np.quantile(values_R, (0.025, 0.975))]
