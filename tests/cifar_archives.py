# SPDX-License-Identifier: Apache-2.0
"""Small archives in the form of CIFAR-100's official ones, with the same images in another order in each."""

import io
import pickle
import tarfile
from hashlib import md5
from pathlib import Path
from types import FunctionType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.labels import CLASS_NAMES

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]


class Python2Pickler(pickle._Pickler):
    """Pickles as cPickle of Python 2 with the NumPy of its time did: protocol 2, byte strings, numpy.core."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=2)

    def save_text(self, text: str | bytes) -> None:
        content = text.encode("ascii") if isinstance(text, str) else text
        if len(content) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(content)]) + content)
        else:
            self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(text)

    def save_name(self, thing: object, name: str | None = None) -> None:
        if getattr(thing, "__name__", "") == "_reconstruct":
            self.write(pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n")
            self.memoize(thing)
        else:
            self.save_global(thing, name)

    dispatch[bytes] = dispatch[str] = save_text
    dispatch[FunctionType] = dispatch[type(len)] = save_name


def python2_pickle(thing: object) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream).dump(thing)
    return stream.getvalue()


def some_images(count: int, seed: int) -> Images:
    """Random images, as many of each class."""
    generator = np.random.default_rng([seed, 100])
    labels_N = np.arange(count) % len(CLASS_NAMES)
    return generator.integers(0, 256, (count, 3072), dtype=np.uint8), labels_N


def shuffled(images: Images, seed: int) -> Images:
    order = np.random.default_rng(seed).permutation(len(images[1]))
    return images[0][order], images[1][order]


def binary_files(train: Images, test: Images) -> dict[str, bytes]:
    """What cifar-100-binary holds, in the images' order."""
    records = {
        name: np.column_stack([labels // 5, labels, pixels]).astype(np.uint8).tobytes()
        for name, (pixels, labels) in (("train.bin", train), ("test.bin", test))
    }
    return records | {"fine_label_names.txt": "\n".join(CLASS_NAMES).encode() + b"\n"}


def python_files(train: Images, test: Images, order: str = "C") -> dict[str, bytes]:
    """What cifar-100-python holds; ``order`` is that of the arrays in memory, C or F."""
    files = {"meta": python2_pickle({"fine_label_names": list(CLASS_NAMES), "coarse_label_names": ["fish"]})}
    for name, (pixels, labels) in (("train", train), ("test", test)):
        fields = {
            "filenames": [f"image_{row}.png" for row in range(len(labels))],
            "batch_label": "batch 1 of 1",
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels // 5).tolist(),
            "data": np.array(pixels, order=order),
        }
        files[name] = python2_pickle(fields)
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def packed(folder: str, files: dict[str, bytes]) -> bytes:
    """A tar.gz of a folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
        directory = tarfile.TarInfo(folder)
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(directory)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def md5_of(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()
