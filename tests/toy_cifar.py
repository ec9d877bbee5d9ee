# SPDX-License-Identifier: Apache-2.0
"""A few made-up images in CIFAR-100's binary form, with a validation split of their own."""

from pathlib import Path

import numpy as np
from toy import toy_images

from experiments.data.split import image_id

HELD_OUT = "held-out.txt"


def write_toy_cifar(folder: Path, train: int, validation: int) -> Path:
    """Write train.bin, and beside it the first digits of the ids that are the validation split -> the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    images = toy_images(train + validation, seed=5)
    labels = np.random.default_rng(5).integers(0, 100, len(images), dtype=np.uint8)
    records = np.concatenate((np.zeros_like(labels)[:, None], labels[:, None], images.reshape(len(images), -1)), axis=1)
    records.tofile(folder / "train.bin")
    (folder / HELD_OUT).write_text("\n".join(image_id(image)[:16] for image in images[:validation]))
    return folder


def held_out(folder: Path) -> frozenset[str]:
    """What stands in for the project's own list of validation images."""
    return frozenset((folder / HELD_OUT).read_text().split())
