# SPDX-License-Identifier: Apache-2.0
"""What more bits would do to a label, predicted from what the cloud knows without SimNet: margin, p and t.

Shapes   X any, F inputs, 3 fates: a wrong label turns right (gained), a right one wrong (lost), or neither (same).
Units    margin a difference of probabilities; p a crossover probability; t in time steps.
Math     O1  x = (margin, -log(1 - margin + 1e-4), p, t / 8)
         O2  P = softmax(B tanh(A (x - mean) / deviation + a) + b)
         O3  outlook = f(P(lost) - P(gained)), f(y) = sign(y) sqrt(|y|)
Source   our own (docs/decisions/0020).
Differs  O1 is float32; O2 and O3 are double precision and their result float32, so that neither batch, threads nor
         device show in a score and no layer needs one thread. The root only spreads the values near 0, where most
         are: thetas have few decimals.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

FATES: Final = ("gained", "lost", "same")
#: The inputs of the rule that is a system, and the size of its hidden layer.
INPUTS: Final = 4
HIDDEN: Final = 16
_SMALL: Final = 1e-4
#: What t is counted in: a session's length in the paper.
_LONGEST: Final = 8


class Outlook(nn.Module):
    """Inputs x_XF -> the fates' logits; the inputs are standardised as those that it learned on."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, inputs: int = INPUTS, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.hidden, self.output = nn.Linear(inputs, hidden), nn.Linear(hidden, len(FATES))

    def standardise(self, x_RF: Tensor) -> None:
        """From now on x_RF has mean 0 and deviation 1."""
        self.mean.copy_(x_RF.mean(dim=0))
        self.deviation.copy_(x_RF.std(dim=0, correction=0).clamp_min(1e-6))

    def forward(self, x_XF: Tensor) -> Tensor:
        """x_XF [..., F] -> logits [..., 3] (Eq. O2 before the softmax), in the precision of x."""
        kind = x_XF.dtype
        y_XF = (x_XF - self.mean.to(kind)) / self.deviation.to(kind)
        hidden_XH = torch.tanh(linear(y_XF, self.hidden.weight.to(kind), self.hidden.bias.to(kind)))
        return linear(hidden_XH, self.output.weight.to(kind), self.output.bias.to(kind))


def stretched(score_X: Tensor) -> Tensor:
    """A score in [0, 1] and -log(1 - score), which tells apart what is near 1 -> [..., 2]."""
    return torch.stack((score_X, -torch.log(1 - score_X + _SMALL)), dim=-1)


def seen(margin_X: Tensor, p_X: Tensor, t_X: Tensor) -> Tensor:
    """x_XF [..., 4] of Eq. O1, float32."""
    rest = torch.stack((p_X, t_X / _LONGEST), dim=-1)
    return torch.cat((stretched(margin_X.float()), rest.float()), dim=-1)


def net_loss(fate_X3: Tensor) -> Tensor:
    """Eq. O3: probabilities of the fates [..., 3] -> [...], larger where going on has less to gain."""
    less_X = fate_X3[..., 1] - fate_X3[..., 0]
    return less_X.sign() * less_X.abs().sqrt()


def outlook(network: Outlook, x_XF: Tensor) -> Tensor:
    """The score of the learned stop rule, float32 [...], in [-1, 1]."""
    with torch.inference_mode():
        return net_loss(network(x_XF.double()).softmax(dim=-1)).float()
