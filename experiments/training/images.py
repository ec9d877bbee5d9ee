# SPDX-License-Identifier: Apache-2.0
"""The images that a stage trains on, held on its device, and the augmented batches made of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from experiments.data.cifar100 import LabelledImages
from experiments.training.augment import crop_and_flip, cutmix
from experiments.training.loop import rows_in_order

LABEL_SMOOTHING = 0.1
_VALIDATION_BATCH = 250


@dataclass(frozen=True)
class ImageSet:
    """images_NCHW uint8 [N, 3, 32, 32] and labels_N int64 [N], both on the device."""

    images_NCHW: Tensor
    labels_N: Tensor

    @classmethod
    def on(cls, device: torch.device, labelled: LabelledImages) -> "ImageSet":
        return cls(torch.from_numpy(labelled.images_NCHW).to(device), torch.from_numpy(labelled.labels_N).to(device))

    @property
    def count(self) -> int:
        return len(self.labels_N)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """x_BCHW float32 [B, 3, 32, 32] in [0, 1] and labels_B [B]."""
        return self.images_NCHW[rows].float() / 255, self.labels_N[rows]

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All of them, as they stand."""
        for rows in rows_in_order(self.count, _VALIDATION_BATCH):
            yield self.batch(rows)

    def augmented(self, rows: Tensor, cutmix_share: float, generator: torch.Generator) -> "Augmented":
        """Cropped, flipped, and a share of them mixed."""
        x_BCHW, labels_B = self.batch(rows)
        mixed_BCHW, donor_B, own_B = cutmix(crop_and_flip(x_BCHW, generator), cutmix_share, generator)
        return Augmented(mixed_BCHW, MixedLabels(labels_B, labels_B[donor_B], own_B))


@dataclass(frozen=True)
class ImageSets:
    """The images that a stage trains on, and those that choose its best epoch."""

    train: ImageSet
    validation: ImageSet


@dataclass(frozen=True)
class MixedLabels:
    """The classes of images that may show two: labels_B for the part own_B of them, others_B for the rest."""

    labels_B: Tensor
    others_B: Tensor
    own_B: Tensor

    def cross_entropy(self, logits_BL: Tensor) -> Tensor:
        """A scalar, with label smoothing."""
        own_B, other_B = (
            cross_entropy(logits_BL.float(), labels_B, label_smoothing=LABEL_SMOOTHING, reduction="none")
            for labels_B in (self.labels_B, self.others_B)
        )
        return (self.own_B * own_B + (1 - self.own_B) * other_B).mean()


@dataclass(frozen=True)
class PlainLabels:
    """The class of each image, labels_B [B]."""

    labels_B: Tensor

    def cross_entropy(self, logits_BL: Tensor) -> Tensor:
        """A scalar, with label smoothing."""
        return cross_entropy(logits_BL.float(), self.labels_B, label_smoothing=LABEL_SMOOTHING)


Labels = MixedLabels | PlainLabels


@dataclass(frozen=True)
class Augmented:
    """A batch of changed images and what they show."""

    x_BCHW: Tensor
    labels: MixedLabels
