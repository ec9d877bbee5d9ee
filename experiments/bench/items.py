# SPDX-License-Identifier: Apache-2.0
"""What is sent: images as pixels for the link and as files for the edge, each with a noise block of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from client import BatchClassification, Classification, Client
from experiments.data.cifar100 import LabelledImages
from experiments.data.png import png
from models.systems import DEFAULT_SYSTEM

SYSTEM: Final = DEFAULT_SYSTEM
#: A BER at which some images need a second round and some do not.
BER: Final = 0.1


@dataclass(frozen=True)
class Items:
    """images_NCHW uint8 [N, 3, 32, 32] and their PNG files; item i is noise block i."""

    images_NCHW: NDArray[np.uint8]
    files: tuple[bytes, ...]
    seed: int

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, number: int, size: int) -> range:
        """The items of batch ``number``: every item once, then from the start again."""
        start = number % (len(self) // size) * size
        return range(start, start + size)


def items_of(images: LabelledImages, count: int, seed: int) -> Items:
    """So many items; where there are fewer images, they come again under other noise."""
    rows = np.arange(count) % len(images)
    images_NCHW = images.images_NCHW[rows]
    return Items(images_NCHW, tuple(png(image) for image in images_NCHW), seed)


@dataclass(frozen=True)
class Sender:
    """Sends items through an edge. Safe to share between threads."""

    client: Client
    items: Items
    profile: str

    def single(self, number: int) -> Classification:
        (row,) = self.items.rows(number, 1)
        return self.client.classify(
            self.items.files[row], ber=BER, seed=self.items.seed, block=row, system=SYSTEM, profile=self.profile
        )

    def batch(self, number: int, size: int) -> BatchClassification:
        rows = self.items.rows(number, size)
        files: Sequence[bytes] = self.items.files[rows.start : rows.stop]
        return self.client.classify_batch(
            files, ber=BER, seed=self.items.seed, blocks=rows, system=SYSTEM, profile=self.profile
        )
