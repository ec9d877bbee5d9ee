# SPDX-License-Identifier: Apache-2.0
"""Stage 1: the backbone. SGD with label smoothing on cropped and flipped images, from scratch or from a start."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from experiments.training.augment import resized
from experiments.training.images import ImageSet, ImageSets
from experiments.training.loop import Metrics
from models.networks.backbone import CutBackbone


class Backbone(nn.Module):
    """Both halves, trained as one."""

    def __init__(self, halves: CutBackbone) -> None:
        super().__init__()
        self.edge = halves.edge_part()
        self.head = halves.task_head()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits: Tensor = self.head(self.edge(x_BCHW))
        return logits


@dataclass(frozen=True)
class ImageSchedule:
    """The side of the images in each epoch, in pixels, and the share of them that CutMix mixes."""

    sizes: tuple[int, ...]
    cutmix: float = 0.0


def top1(network: Backbone, images: ImageSet) -> float:
    """Accuracy in percent."""
    correct = sum(int((network(x_BCHW).argmax(1) == labels_B).sum()) for x_BCHW, labels_B in images.in_order())
    return 100.0 * correct / images.count


class BackboneStage:
    """Trains both halves; the score is top-1 accuracy on the validation split, in percent."""

    def __init__(
        self, network: Backbone, sets: ImageSets, schedule: ImageSchedule, *, batch: int, compiled: bool = False
    ) -> None:
        self.network, self._sets, self._schedule, self._epoch = network, sets, schedule, 0
        self.images, self.batch = sets.train.count, batch
        # One compilation for each image size; validation, a few batches an epoch, does without.
        self._forward: Callable[[Tensor], Tensor] = torch.compile(network, dynamic=False) if compiled else network

    def begin(self, epoch: int) -> None:
        self._epoch = epoch

    def loss(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        augmented = self._sets.train.augmented(rows, self._schedule.cutmix, generator)
        return augmented.labels.cross_entropy(
            self._forward(resized(augmented.x_BCHW, self._schedule.sizes[self._epoch]))
        )

    def validate(self) -> Metrics:
        return {"score": top1(self.network, self._sets.validation)}
