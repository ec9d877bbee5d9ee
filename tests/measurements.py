# SPDX-License-Identifier: Apache-2.0
"""What tests of measurements share: someone who listens, labelled images, made-up outcomes."""

import numpy as np
from toy import toy_images

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.outcomes import Outcomes


class Heard:
    """Listens, and breaks off after so many units if told so."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.total, self.found, self.computed = 0, 0, 0
        self._units, self._breaks_after = 0, breaks_after

    def begin(self, what: str, total: int) -> None:
        self.total = total

    def advance(self, count: int, computed: bool) -> None:
        if not computed:
            self.found += count
            return
        self.computed += count
        self._units += 1
        if self._units == self._breaks_after:
            raise KeyboardInterrupt


def labelled_images(count: int, seed: int = 3) -> LabelledImages:
    """In the order of their ids, as outcomes are."""
    return LabelledImages(toy_images(count, seed=seed), np.arange(count, dtype=np.int64)).by_id()


def made_up(right_NS: list[list[int]], margin_NS: list[list[float]], ber: float) -> Outcomes:
    """One seed's outcomes with a margin."""
    correct, scores = np.array([right_NS], dtype=np.bool_), np.array([margin_NS], dtype=np.float32)
    return Outcomes(ber, correct, {"margin": scores}, correct[0, :, -1])
