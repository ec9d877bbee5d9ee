# SPDX-License-Identifier: Apache-2.0
"""What codecs and SimNet train on while the backbone is frozen: features computed once, or of ever fresh images.

Computed once are two views of every training image, plain and mirrored, as float16: on disk and read through the page
cache on the CPU, in the device's memory on CUDA. The backbone knows the training images by heart, so their features are
clearer than any it will send; those of cropped and mixed images, computed anew for each batch, are not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from experiments.training.engine import Engine
from experiments.training.images import ImageSet, Labels, PlainLabels
from experiments.whole_files import whole_file

_BATCH = 250


@dataclass(frozen=True)
class FeatureBatch:
    """f_BCHW float32 [B, C, 4, 4] and what the images show."""

    f_BCHW: Tensor
    labels: Labels


class TrainingFeatures(Protocol):
    """Features of the training images."""

    @property
    def count(self) -> int:
        """How many images there are."""

    def draw(self, rows: Tensor, generator: torch.Generator) -> FeatureBatch:
        """The features of some images; how they are changed is drawn."""


@dataclass(frozen=True)
class FeatureSet:
    """views_VNCHW float16 [views, N, C, 4, 4] and labels_N int64 [N]."""

    views_VNCHW: Tensor
    labels_N: Tensor

    @property
    def count(self) -> int:
        return len(self.labels_N)

    def batch(self, rows: Tensor, views: Tensor) -> Tensor:
        """Features of some images, each in the view drawn for it, float32 [B, C, 4, 4]."""
        return self.views_VNCHW[views, rows].float()

    def draw(self, rows: Tensor, generator: torch.Generator) -> FeatureBatch:
        """Each image in a view of its own."""
        views = torch.randint(0, len(self.views_VNCHW), (len(rows),), generator=generator)
        return FeatureBatch(self.batch(rows, views), PlainLabels(self.labels_N[rows]))


@dataclass(frozen=True)
class FreshFeatures:
    """Features of images that are cropped, flipped and, for a share of them, mixed by CutMix, anew in every batch."""

    edge: nn.Module
    images: ImageSet
    cutmix: float

    @property
    def count(self) -> int:
        return self.images.count

    def draw(self, rows: Tensor, generator: torch.Generator) -> FeatureBatch:
        augmented = self.images.augmented(rows, self.cutmix, generator)
        with torch.no_grad():
            f_BCHW = self.edge(augmented.x_BCHW).float()
        return FeatureBatch(f_BCHW, augmented.labels)


@dataclass(frozen=True)
class FeatureSets:
    """The features that a stage trains on, and those that choose its best epoch."""

    train: TrainingFeatures
    validation: FeatureSet


@dataclass(frozen=True)
class FeatureSource:
    """The network whose features they are, how it runs, where they are kept, and who hears of progress."""

    edge: nn.Module
    engine: Engine
    folder: Path
    advance: Callable[[int], None]

    def compute(self, images: ImageSet, name: str, *, views: int) -> FeatureSet:
        """Features of all images in 1 or 2 views, from disk where they were computed before.

        The file is complete or absent.
        """
        if self.engine.device.type == "cuda":
            stored = torch.empty((views, *self._shape(images)), dtype=torch.float16, device=self.engine.device)
            self._fill(stored, images)
            return FeatureSet(stored, images.labels_N)
        path = self.folder / f"{name}-{images.count}-{'bf16' if self.engine.bf16 else 'fp32'}.npy"
        if not path.is_file():
            shape = (views, *self._shape(images))
            with whole_file(path) as partial:
                mapped = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
                self._fill(torch.from_numpy(mapped), images)
                mapped.flush()
        # Copy on write: torch wants memory that may be written to.
        return FeatureSet(torch.from_numpy(np.load(path, mmap_mode="c")), images.labels_N)

    def _shape(self, images: ImageSet) -> tuple[int, ...]:
        return (images.count, *self._features(images.images_NCHW[:1]).shape[1:])

    def _fill(self, stored_VNCHW: Tensor, images: ImageSet) -> None:
        for view, out_NCHW in enumerate(stored_VNCHW):
            for start in range(0, images.count, _BATCH):
                pixels = images.images_NCHW[start : start + _BATCH]
                out_NCHW[start : start + _BATCH] = self._features(pixels.flip(3) if view else pixels)
                self.advance(len(pixels))

    def _features(self, pixels: Tensor) -> Tensor:
        with torch.inference_mode(), self.engine.autocast():
            features: Tensor = self.edge(pixels.float() / 255)
        return features.to(torch.float16)
