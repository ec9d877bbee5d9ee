# SPDX-License-Identifier: Apache-2.0
"""CIFAR-100 from its official archives, packed or unpacked: https://www.cs.toronto.edu/~kriz/cifar.html.

A record of the binary version has 3,074 bytes: coarse label, fine label, then 1,024 red, 1,024 green and 1,024 blue
pixels, row by row. The python version has the same pixels in the same order as an array, and lists of labels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.data import official, python_version
from experiments.data.official import DataSetMissingError, Half, Split
from experiments.data.places import Place, find
from experiments.data.split import image_id, is_validation
from models.labels import CLASS_NAMES

__all__ = ["DataSetMissingError", "LabelledImages", "Split", "check", "is_there", "load"]

RECORD_BYTES = 3074


@dataclass(frozen=True)
class LabelledImages:
    """images_NCHW uint8 [N, 3, 32, 32] and labels_N int64 [N] in 0..99, in the archive's order."""

    images_NCHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels_N)

    def select(self, rows_N: NDArray[np.bool_] | NDArray[np.int64]) -> "LabelledImages":
        return LabelledImages(self.images_NCHW[rows_N], self.labels_N[rows_N])

    def by_id(self, first: int | None = None) -> "LabelledImages":
        """The images in the order of their ids, which no archive decides, or the first of them."""
        return self.select(np.argsort(self.ids())[:first])

    def ids(self) -> list[str]:
        """The sha256 of each image's pixel bytes, in hexadecimal."""
        return [image_id(image) for image in self.images_NCHW]


def load(source: Path, split: Split) -> LabelledImages:
    """Read one split from a folder or an official archive, of the binary or the python version.

    ``train`` is the official training set without the project's validation images, ``validation`` those images.
    Raises DataSetMissingError where there is nothing to read, or where it is damaged.
    """
    half = official.half_of(split)
    labelled = _read(find(source, half), half)
    return labelled if split == "test" else _part(labelled, split)


def is_there(source: Path, split: Split) -> bool:
    """Whether anything at ``source`` claims to hold a split; only its archive's check sum is looked at."""
    try:
        find(source, official.half_of(split))
    except DataSetMissingError:
        return False
    return True


def check(source: Path) -> dict[Split, int]:
    """Read everything -> images by split, which are as many as they must be and in 100 equal classes.

    The validation images are recognised by their pixels. Raises DataSetMissingError.
    """
    train, test = (_read(find(source, half), half) for half in ("train", "test"))
    for name, labelled in (("training", train), ("test", test)):
        classes = np.bincount(labelled.labels_N, minlength=len(CLASS_NAMES))
        if np.ptp(classes):
            raise DataSetMissingError(
                f"{source} is not the whole CIFAR-100: classes of its {name} set have {classes.min():,} to "
                f"{classes.max():,} images"
            )
    counts: dict[Split, int] = {
        "train": len(_part(train, "train")), "validation": len(_part(train, "validation")), "test": len(test)
    }  # fmt: skip  # one line says it
    if counts != official.IMAGES:
        found, needed = (", ".join(f"{n:,} {name}" for name, n in each.items()) for each in (counts, official.IMAGES))
        raise DataSetMissingError(f"{source} is not the whole CIFAR-100: it has {found} images, not {needed}")
    return counts


def _part(train: LabelledImages, split: Split) -> LabelledImages:
    held_out_N = np.array([is_validation(name) for name in train.ids()], dtype=np.bool_)
    return train.select(held_out_N if split == "validation" else ~held_out_N)


def _read(place: Place, half: Half) -> LabelledImages:
    is_binary = place.version.folder == official.BINARY.folder
    with _content(place, place.version.file(half)) as content:
        if content is None:
            raise ValueError("it is absent")
        pixels_NP, labels = _records(content) if is_binary else python_version.labelled_images(content)
        if not 0 < len(labels) == len(pixels_NP):
            raise ValueError(f"it has {len(labels)} labels and {len(pixels_NP)} images")
        if not all(0 <= label < len(CLASS_NAMES) for label in labels):
            raise ValueError(f"a label is outside 0..{len(CLASS_NAMES) - 1}")
    with _content(place, place.version.class_names) as content:
        if content is not None:
            names = content.decode("ascii", "replace").split() if is_binary else python_version.class_names(content)
            # A copy whose classes are numbered otherwise would be read without a sign of it.
            if names != list(CLASS_NAMES):
                raise ValueError("its names are not CIFAR-100's classes in their order")
    # A copy, which owns its memory and can be written to: what was read is neither.
    return LabelledImages(np.array(pixels_NP, order="C").reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64))


@contextmanager
def _content(place: Place, name: str) -> Iterator[bytes | None]:
    """A file's content; a ValueError about it becomes the error that names the file."""
    try:
        yield place.read(name)
    except ValueError as error:
        raise DataSetMissingError(f"{place.path / name} is damaged, or not CIFAR-100's: {error}") from None


def _records(content: bytes) -> tuple[NDArray[np.uint8], list[int]]:
    if len(content) % RECORD_BYTES:
        raise ValueError(f"its {len(content):,} bytes are not a whole number of {RECORD_BYTES}-byte records")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    return records[:, 2:], records[:, 1].tolist()
