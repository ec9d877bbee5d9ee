# SPDX-License-Identifier: Apache-2.0
"""The images of a sweep in the order of their ids, which no archive and no file system decides."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from client.images import media_type_of
from experiments.data.cifar100 import LabelledImages, Split, load
from experiments.sweeps.spec import DataSet, Images, SpecError
from models.image import ImageRejectedError, decode
from models.labels import CLASS_NAMES

SPLITS: Final[dict[DataSet, Split]] = {"cifar100-test": "test", "cifar100-validation": "validation"}


def load_images(images: Images, data: Path) -> LabelledImages:
    """The range that a specification names; ``data`` is where CIFAR-100 lies.

    Raises SpecError, and DataSetMissingError where CIFAR-100 is not there.
    """
    everything = load(data, SPLITS[images.data_set]) if images.data_set else _from_folder(images.folder or Path())
    count = len(everything) - images.first if images.count is None else images.count
    if not 0 < count <= len(everything) - images.first:
        source = images.data_set or images.folder
        raise SpecError(
            f"images: {source} has {len(everything):,} images, too few for {max(count, 1):,} from {images.first:,} on"
        )
    ids = everything.ids()
    # Labels settle the order of what looks the same: two of CIFAR-100's test images do, and two more.
    rows = sorted(range(len(everything)), key=lambda row: (ids[row], everything.labels_N[row]))
    return everything.select(np.array(rows[images.first : images.first + count], dtype=np.int64))


def _from_folder(folder: Path) -> LabelledImages:
    if not folder.is_dir():
        raise SpecError(f"images: there is no folder {folder}")
    pictures, labels = [], []
    for label, file in _files(folder):
        content = file.read_bytes()
        try:
            pictures.append(decode(content, media_type_of(content) or "unknown"))
        except ImageRejectedError as error:
            raise SpecError(f"images: {file}: {error}") from None
        labels.append(label)
    if not labels:
        raise SpecError(f"images: {folder} has no images: it needs a folder of files for each class")
    return LabelledImages(np.stack(pictures), np.array(labels, dtype=np.int64))


def _files(folder: Path) -> Iterator[tuple[int, Path]]:
    """Each file with its class; hidden ones, which file managers leave behind, do not count."""
    for inside in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        if not inside.is_dir():
            raise SpecError(f"images: {inside} is no folder: images lie in folders named by class")
        if inside.name not in CLASS_NAMES:
            raise SpecError(f"images: {inside} is named by none of CIFAR-100's classes, such as {CLASS_NAMES[0]}")
        for file in sorted(path for path in inside.iterdir() if not path.name.startswith(".")):
            if not file.is_file():
                raise SpecError(f"images: {file} is no file")
            yield CLASS_NAMES.index(inside.name), file
