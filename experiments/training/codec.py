# SPDX-License-Identifier: Apache-2.0
"""Codec stages: Algorithm 1 of arXiv 2310.08804, on features of a frozen backbone.

For the paper's codec t is drawn per batch from t0..T and p per image from U(0, 0.3), as DESIGN.md section 4 reads the
paper; the loss is Eq. (4), its cross-entropy with the label smoothing that the backbone was trained with.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.training.accuracy import Cells, multi_rate_accuracy
from experiments.training.codecs import AnyCodec
from experiments.training.draws import Draws
from experiments.training.features import FeatureSets
from experiments.training.images import LABEL_SMOOTHING
from experiments.training.loop import Metrics, rows_in_order

_VALIDATION_BATCH = 250


@dataclass(frozen=True)
class CodecPlan:
    """Over what a codec is trained, in which cells it is validated, and whether its batch norm keeps its statistics."""

    draws: Draws
    cells: Cells
    keep_norm: bool = False


class CodecStage:
    """Trains a codec; the score is its mean multi-rate accuracy on the validation split."""

    def __init__(self, network: AnyCodec, head: nn.Module, sets: FeatureSets, plan: CodecPlan, *, batch: int) -> None:
        self.network, self._head, self._sets, self._plan = network, head, sets, plan
        self.images, self.batch = sets.train.count, batch

    def begin(self, epoch: int) -> None:
        """Every epoch is like the others."""

    def loss(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        train = self._sets.train
        f_BCHW, labels_B = train.batch(rows, train.drawn_views(len(rows), generator)), train.labels_N[rows]
        rebuilt_BCHW, penalty = self.network.learn(f_BCHW, self._plan.draws, generator)
        logits_BL = self._head(rebuilt_BCHW).float()
        return cross_entropy(logits_BL, labels_B, label_smoothing=LABEL_SMOOTHING) + penalty

    def validate(self) -> Metrics:
        return multi_rate_accuracy(self.network, self._head, self._validation(), self._plan.cells)

    def _validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        validation = self._sets.validation
        for rows in rows_in_order(validation.count, _VALIDATION_BATCH):
            yield validation.batch(rows, torch.zeros_like(rows)), validation.labels_N[rows]
