# SPDX-License-Identifier: Apache-2.0
"""A few made-up images in CIFAR-100's binary form, with a validation split of their own."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from toy import toy_images

from experiments.data.cifar100 import LabelledImages
from experiments.data.split import image_id

HELD_OUT = "held-out.txt"


def write_toy_cifar(folder: Path, train: int, validation: int) -> Path:
    """Write train.bin, and beside it the first digits of the ids that are the validation split -> the folder."""
    images, _ = _write(folder / "train.bin", train + validation, seed=5)
    (folder / HELD_OUT).write_text("\n".join(image_id(image)[:16] for image in images[:validation]))
    return folder


def write_toy_test_set(folder: Path, count: int) -> LabelledImages:
    """Write test.bin, in no order of ids -> its images in the order of the file."""
    return LabelledImages(*_write(folder / "test.bin", count, seed=6))


def _write(file: Path, count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    file.parent.mkdir(parents=True, exist_ok=True)
    images = toy_images(count, seed=seed)
    labels = np.random.default_rng(seed).integers(0, 100, count, dtype=np.uint8)
    records = np.concatenate((np.zeros_like(labels)[:, None], labels[:, None], images.reshape(count, -1)), axis=1)
    records.tofile(file)
    return images, labels.astype(np.int64)


def held_out(folder: Path) -> frozenset[str]:
    """What stands in for the project's own list of validation images."""
    return frozenset((folder / HELD_OUT).read_text().split())
