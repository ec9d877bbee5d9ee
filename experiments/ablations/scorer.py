# SPDX-License-Identifier: Apache-2.0
"""A small network that predicts what more bits would do to a label: make it right, make it wrong, or nothing.

Shapes   R rows, one an image, BER, seed and t; F columns; 3 fates in the order of FATES
Math     target: of the points after t, the share at which a wrong label is right (gained), at which a right one is
         wrong (lost), and the rest (same); cross-entropy with these shares
         CHANGE: score = -sqrt(P(gained) + P(lost)), larger where more bits would change less
         NET: score = f(P(lost) - P(gained)), f(x) = sign(x) sqrt(|x|), larger where going on has less to gain
The root only spreads the values near 0, where most are: thetas have four decimals.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.evaluation.outcomes import Bools, Floats

FATES: Final = ("gained", "lost", "same")
CHANGE, NET = "change", "net"


@dataclass(frozen=True)
class Fitting:
    """The network's size and how it is trained; the same for all inputs. The best epoch by other images counts."""

    hidden: int = 16
    epochs: int = 60
    batch: int = 2048
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0


@dataclass(frozen=True)
class Rows:
    """x_RF, the shares of the fates, and how much a row counts."""

    x_RF: Tensor
    fate_R3: Tensor
    weight_R: Tensor

    def rows(self, some: Tensor) -> "Rows":
        """Some of them, by their numbers."""
        return Rows(self.x_RF[some], self.fate_R3[some], self.weight_R[some])


class Scorer(nn.Module):
    """Inputs -> logits of the fates, the inputs standardised as those that it learned on."""

    def __init__(self, x_RF: Tensor, hidden: int) -> None:
        super().__init__()
        self._mean_F, self._deviation_F = x_RF.mean(dim=0), x_RF.std(dim=0, correction=0).clamp_min(1e-6)
        self.layers = nn.Sequential(nn.Linear(x_RF.shape[1], hidden), nn.Tanh(), nn.Linear(hidden, len(FATES)))

    def forward(self, x_RF: Tensor) -> Tensor:
        logits_R3: Tensor = self.layers((x_RF - self._mean_F) / self._deviation_F)
        return logits_R3

    def predict(self, x_XF: Floats) -> Floats:
        """[..., F] -> the probabilities of the fates [..., 3]."""
        with torch.inference_mode():
            fate_X3: Floats = self(torch.from_numpy(x_XF)).softmax(dim=-1).numpy()
        return fate_X3

    def loss(self, rows: Rows) -> Tensor:
        """The cross-entropy of rows, in nats, a scalar."""
        losses_R = cross_entropy(self(rows.x_RF), rows.fate_R3, reduction="none")
        return (losses_R * rows.weight_R).sum() / rows.weight_R.sum()


def _change(fate_X3: Floats) -> Floats:
    score_X: Floats = -np.sqrt(fate_X3[..., 0] + fate_X3[..., 1])
    return score_X


def _net(fate_X3: Floats) -> Floats:
    less_X = fate_X3[..., 1] - fate_X3[..., 0]
    score_X: Floats = np.sign(less_X) * np.sqrt(np.abs(less_X))
    return score_X


#: By name, from the fates' probabilities to the score of a stop rule.
SCORES: Final[Mapping[str, Callable[[Floats], Floats]]] = {CHANGE: _change, NET: _net}


def fates(correct_ANS: Bools) -> Floats:
    """What is ahead of each point but the last -> the shares [A, N, S - 1, 3]."""
    later_ANS = np.cumsum(correct_ANS[..., :0:-1], axis=-1)[..., ::-1] / np.arange(correct_ANS.shape[-1] - 1, 0, -1)
    now_ANS = correct_ANS[..., :-1]
    gained, lost = np.where(now_ANS, 0.0, later_ANS), np.where(now_ANS, 1 - later_ANS, 0.0)
    shares: Floats = np.stack((gained, lost, 1 - gained - lost), axis=-1).astype(np.float32)
    return shares


def fit(rows: Rows, others: Rows, fitting: Fitting) -> Scorer:
    """Train on ``rows``; ``others``, of other images, say which epoch counts. Order and start follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fitting.seed)
        scorer = Scorer(rows.x_RF, fitting.hidden)
    generator = torch.Generator().manual_seed(fitting.seed)
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=fitting.learning_rate, weight_decay=fitting.weight_decay)
    best, kept = math.inf, scorer.state_dict()
    for _ in range(fitting.epochs):
        for some in torch.split(torch.randperm(len(rows.x_RF), generator=generator), fitting.batch):
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(scorer.loss(rows.rows(some)))
            optimizer.step()
        with torch.inference_mode():
            found = float(scorer.loss(others))
        if found < best:
            best, kept = found, copy.deepcopy(scorer.state_dict())
    scorer.load_state_dict(kept)
    return scorer
