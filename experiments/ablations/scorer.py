# SPDX-License-Identifier: Apache-2.0
"""The scores that a learned stop rule may make of the fates that it predicts (experiments/training/outlook.py).

Math     CHANGE: score = -sqrt(P(gained) + P(lost)), larger where more bits would change less
         NET: score = f(P(lost) - P(gained)), f(x) = sign(x) sqrt(|x|), larger where going on has less to gain
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch

from experiments.evaluation.outcomes import Floats
from models.networks.outlook import net_loss

CHANGE, NET = "change", "net"


def _change(fate_X3: Floats) -> Floats:
    score_X: Floats = -np.sqrt(fate_X3[..., 0] + fate_X3[..., 1])
    return score_X


def _net(fate_X3: Floats) -> Floats:
    score_X: Floats = net_loss(torch.from_numpy(fate_X3)).numpy()
    return score_X


#: By name, from the fates' probabilities to the score of a stop rule.
SCORES: Final[Mapping[str, Callable[[Floats], Floats]]] = {CHANGE: _change, NET: _net}
