# SPDX-License-Identifier: Apache-2.0
"""Joint stage: edge part, codec and task head tuned as one on fresh crops and flips, with the codec stage's loss.

It happens once per backbone and with the paper's codec; all other codecs train on the result, frozen.

Batch norm keeps the statistics that it has, and its scales are tuned: t differs from batch to batch, so the task head's
statistics over a batch are those of one t, and the spiking layers' those of one step, which no running mean fits
(docs/decisions/0004). The spikes are thus trained exactly as they will be sent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from experiments.training.accuracy import multi_rate_accuracy
from experiments.training.backbone import Backbone, top1
from experiments.training.codec import CodecPlan
from experiments.training.codecs import Codec
from experiments.training.images import ImageSets
from experiments.training.loop import Metrics


class JointNetwork(nn.Module):
    """All that a plain transmission passes through, in evaluation mode throughout: see above."""

    def __init__(self, backbone: Backbone, codec: Codec) -> None:
        super().__init__()
        self.backbone, self.codec = backbone, codec

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def parts(self) -> dict[str, nn.Module]:
        """By their names in the weights."""
        codec = self.codec
        return {
            "edge": self.backbone.edge,
            "head": self.backbone.head,
            "encoder": codec.encoder,
            "reconstructor": codec.reconstructor,
            "converter": codec.converter,
        }


@dataclass(frozen=True)
class JointPlan:
    """The codec's plan, and the share of images that CutMix mixes."""

    codec: CodecPlan
    cutmix: float = 0.0


class JointStage:
    """Score: the codec's. ``backbone`` is the accuracy of the tuned halves without the codec between them."""

    def __init__(self, network: JointNetwork, sets: ImageSets, plan: JointPlan, *, batch: int) -> None:
        self.network, self._sets, self._plan = network, sets, plan
        self.images, self.batch = sets.train.count, batch

    def begin(self, epoch: int) -> None:
        """Every epoch is like the others."""

    def loss(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        augmented = self._sets.train.augmented(rows, self._plan.cutmix, generator)
        f_BCHW = self.network.backbone.edge(augmented.x_BCHW)
        rebuilt_BCHW, penalty = self.network.codec.learn(f_BCHW, self._plan.codec.draws, generator)
        return augmented.labels.cross_entropy(self.network.backbone.head(rebuilt_BCHW)) + penalty

    def validate(self) -> Metrics:
        backbone, codec = self.network.backbone, self.network.codec
        accuracy = multi_rate_accuracy(codec, backbone.head, self._features(), self._plan.codec.cells)
        return {**accuracy, "backbone": top1(backbone, self._sets.validation)}

    def _features(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x_BCHW, labels_B in self._sets.validation.in_order():
            yield self.network.backbone.edge(x_BCHW), labels_B
