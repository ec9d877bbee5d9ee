# SPDX-License-Identifier: Apache-2.0
"""Codec stages: Algorithm 1 of arXiv 2310.08804, on features of a frozen backbone.

For the paper's codec t is drawn per batch from t0..T and p per image from U(0, 0.3), as we read the
paper; the loss is Eq. (4), its cross-entropy with the label smoothing that the backbone was trained with. For a share
of it, the codec may learn instead what the task head itself says of F (distillation, arXiv 1503.02531, temperature 1).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from experiments.training.accuracy import Cells, multi_rate_accuracy
from experiments.training.codecs import AnyCodec
from experiments.training.draws import Draws
from experiments.training.features import FeatureBatch, FeatureSets
from experiments.training.loop import Metrics, rows_in_order

_VALIDATION_BATCH = 250


@dataclass(frozen=True)
class CodecPlan:
    """Over what a codec is trained, in which cells it is validated, and whether its batch norm keeps its statistics.

    ``distilled``: the share of the loss that is the divergence from the task head's word on F, not the label's.
    """

    draws: Draws
    cells: Cells
    keep_norm: bool = False
    distilled: float = 0.0


class CodecStage:
    """Trains a codec; the score is its mean multi-rate accuracy on the validation split."""

    def __init__(self, network: AnyCodec, head: nn.Module, sets: FeatureSets, plan: CodecPlan, *, batch: int) -> None:
        self.network, self._head, self._sets, self._plan = network, head, sets, plan
        self.images, self.batch = sets.train.count, batch

    def begin(self, epoch: int) -> None:
        """Every epoch is like the others."""

    def loss(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        batch = self._sets.train.draw(rows, generator)
        rebuilt_BCHW, penalty = self.network.learn(batch.f_BCHW, self._plan.draws, generator)
        return self._told(batch, self._head(rebuilt_BCHW).float()) + penalty

    def _told(self, batch: FeatureBatch, logits_BL: Tensor) -> Tensor:
        """The first term of the loss: label and task head, each for its share."""
        share = self._plan.distilled
        if share == 0:
            return batch.labels.cross_entropy(logits_BL)
        with torch.no_grad():
            direct_BL = self._head(batch.f_BCHW).float()
        pair = log_softmax(logits_BL, dim=1), log_softmax(direct_BL, dim=1)
        divergence = kl_div(*pair, reduction="batchmean", log_target=True)
        return (1 - share) * batch.labels.cross_entropy(logits_BL) + share * divergence

    def validate(self) -> Metrics:
        return multi_rate_accuracy(self.network, self._head, self._validation(), self._plan.cells)

    def _validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        validation = self._sets.validation
        for rows in rows_in_order(validation.count, _VALIDATION_BATCH):
            yield validation.batch(rows, torch.zeros_like(rows)), validation.labels_N[rows]
