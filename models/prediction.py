# SPDX-License-Identifier: Apache-2.0
"""From logits to the most probable classes.

Shapes   L classes; logits_L [100].
Units    probabilities in [0, 1], float64.
Math     P = softmax(f_T(F'))
Source   Algorithm 1 of arXiv 2310.08804.
Differs  none
"""

import numpy as np
from numpy.typing import NDArray


def most_probable(logits_L: NDArray[np.float32], count: int = 5) -> tuple[tuple[int, float], ...]:
    """(class index, probability) of the ``count`` most probable classes, most probable first.

    Of two equal logits the class with the smaller index comes first, as in argmax.
    """
    shifted_L = np.exp(logits_L.astype(np.float64) - float(logits_L.max()))
    probability_L = shifted_L / shifted_L.sum()
    return tuple((int(i), float(probability_L[i])) for i in np.argsort(-logits_L, kind="stable")[:count])
