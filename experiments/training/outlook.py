# SPDX-License-Identifier: Apache-2.0
"""The small network of the learned stop rule: trained on what happened to labels as more bits came.

Shapes   R rows, one an image, BER, seed and t; F inputs; 3 fates in the order of FATES
Math     target: of the points after t, the share at which a wrong label is right (gained), at which a right one is
         wrong (lost), and the rest (same); cross-entropy with these shares
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from experiments.training.loop import DivergedError
from models.networks.outlook import HIDDEN, Outlook


@dataclass(frozen=True)
class Fitting:
    """The network's size and how it is trained; the same for all inputs. The best epoch by other images counts."""

    hidden: int = HIDDEN
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


def rows_of(cells: list[tuple[NDArray[np.bool_], NDArray[np.float32]]]) -> Rows:
    """From each BER's correct_ANS and inputs x_ANSF: every point but the last, where nothing is left to decide.

    A BER counts alike however many seeds it has.
    """
    x, fate, weight = [], [], []
    for correct_ANS, x_ANSF in cells:
        some = x_ANSF[:, :, :-1]
        x.append(some.reshape(-1, some.shape[-1]))
        fate.append(fates(correct_ANS).reshape(-1, 3))
        weight.append(np.full(len(x[-1]), 1 / len(some), dtype=np.float32))
    return Rows(*(torch.from_numpy(np.concatenate(parts)) for parts in (x, fate, weight)))


def fates(correct_ANS: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What is ahead of each point but the last -> the shares [A, N, S - 1, 3]."""
    later_ANS = np.cumsum(correct_ANS[..., :0:-1], axis=-1)[..., ::-1] / np.arange(correct_ANS.shape[-1] - 1, 0, -1)
    now_ANS = correct_ANS[..., :-1]
    gained, lost = np.where(now_ANS, 0.0, later_ANS), np.where(now_ANS, 1 - later_ANS, 0.0)
    shares: NDArray[np.float32] = np.stack((gained, lost, 1 - gained - lost), axis=-1).astype(np.float32)
    return shares


def loss(network: Outlook, rows: Rows) -> Tensor:
    """The cross-entropy of rows, in nats, a scalar."""
    losses_R = cross_entropy(network(rows.x_RF), rows.fate_R3, reduction="none")
    return (losses_R * rows.weight_R).sum() / rows.weight_R.sum()


def predict(network: Outlook, x_XF: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., F] -> the probabilities of the fates [..., 3]."""
    with torch.inference_mode():
        fate_X3: NDArray[np.float32] = network(torch.from_numpy(x_XF)).softmax(dim=-1).numpy()
    return fate_X3


def fit(rows: Rows, others: Rows, fitting: Fitting) -> Outlook:
    """Train on ``rows``; ``others``, of other images, say which epoch counts. Order and start follow from the seed.

    Raises DivergedError where no epoch has a loss that is a number.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fitting.seed)
        network = Outlook(rows.x_RF.shape[1], fitting.hidden)
    network.standardise(rows.x_RF)
    generator = torch.Generator().manual_seed(fitting.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=fitting.learning_rate, weight_decay=fitting.weight_decay)
    best, kept = math.inf, network.state_dict()
    for _ in range(fitting.epochs):
        for some in torch.split(torch.randperm(len(rows.x_RF), generator=generator), fitting.batch):
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss(network, rows.rows(some)))
            optimizer.step()
        with torch.inference_mode():
            found = float(loss(network, others))
        if found < best:
            best, kept = found, copy.deepcopy(network.state_dict())
    if not math.isfinite(best):
        raise DivergedError("no epoch of the learned rule has a loss that is a number")
    network.load_state_dict(kept)
    return network
