# SPDX-License-Identifier: Apache-2.0
"""What a pass notes of each image: at every point where its system could stop, its scores and whether it is right.

Every image is sent to the end. A stop rule then only chooses which column counts, so that all thresholds and all t of
all systems that share a codec follow from one pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
#: One BER and seed: ``correct`` bool [N, S], ``score.NAME`` float32 [N, S], and ``direct`` bool [N].
Columns = dict[str, NDArray[np.generic]]
SCORE = "score."


@dataclass(frozen=True)
class Outcomes:
    """What N images met at one BER over A noise seeds, at each of S points where their system could stop.

    ``direct_correct_N`` is the classifier on the feature that no codec touched.
    """

    ber: float
    correct_ANS: Bools
    scores: Mapping[str, Floats]
    direct_correct_N: Bools

    @property
    def images(self) -> int:
        return int(self.correct_ANS.shape[1])

    @property
    def points(self) -> int:
        return int(self.correct_ANS.shape[2])

    def first_seeds(self, count: int | None) -> "Outcomes":
        """The outcomes of so many noise seeds alone, of all where None."""
        scores = {name: score[:count] for name, score in self.scores.items()}
        return Outcomes(self.ber, self.correct_ANS[:count], scores, self.direct_correct_N)


def join(parts: Sequence[Columns]) -> Columns:
    """The columns of all images from those of some."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def stack(ber: float, by_seed: Sequence[Columns]) -> Outcomes:
    """The outcomes at one BER from the columns of its seeds."""

    def over_seeds(name: str) -> NDArray[np.generic]:
        return np.stack([columns[name] for columns in by_seed])

    first = by_seed[0]
    return Outcomes(
        ber,
        over_seeds("correct").astype(np.bool_),
        {name.removeprefix(SCORE): over_seeds(name).astype(np.float32) for name in first if name.startswith(SCORE)},
        first["direct"].astype(np.bool_),
    )
