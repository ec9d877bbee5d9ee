# SPDX-License-Identifier: Apache-2.0
"""Files of CIFAR-100's python version: pickles that Python 2 wrote, read without running what they name.

A pickle may name any function and have it called. These files name three, all of NumPy, to rebuild one array; here
each stands for a class that only keeps what it is given, and any other name is refused.
"""

import io
import pickle
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

IMAGE_BYTES: Final = 3072


class _Given:
    """What a pickle says of an object: the arguments of its call, and the state that follows."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, tuple) else ()


class _DataType(_Given):
    """numpy.dtype."""


class _Array(_Given):
    """numpy.ndarray, and the function that makes an empty one for a pickle to fill."""


_NAMES: Final[dict[tuple[str, str], type[_Given]]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DataType,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Asked for every name in a pickle, whatever its protocol."""
        found = _NAMES.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which CIFAR-100's files do not")
        return found


def labelled_images(content: bytes) -> tuple[NDArray[np.uint8], list[int]]:
    """The file ``train`` or ``test`` -> images uint8 [N, 3072] and fine labels. Raises ValueError, in one line."""
    fields = _fields(content)
    pixels, labels = fields.get(b"data"), fields.get(b"fine_labels")
    if not isinstance(pixels, _Array) or not isinstance(labels, list):
        raise ValueError("it has no data and fine_labels")
    if not all(type(label) is int for label in labels):
        raise ValueError("its fine_labels are not all integers")
    return _pixels(pixels), labels


def class_names(content: bytes) -> list[str]:
    """The file ``meta`` -> the names of the fine labels. Raises ValueError, in one line."""
    names = _fields(content).get(b"fine_label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise ValueError("it has no fine_label_names")
    return [name.decode("ascii", "replace") for name in names]


def _fields(content: bytes) -> dict[object, object]:
    try:
        fields = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can fail in any way that Python has
        reason = " ".join(str(error).split()) if isinstance(error, pickle.UnpicklingError) else type(error).__name__
        raise ValueError(f"it is no pickle of CIFAR-100 ({reason})") from None
    if not isinstance(fields, dict):
        raise ValueError("it is no pickle of CIFAR-100 (no dictionary)")
    return fields


def _pixels(array: _Array) -> NDArray[np.uint8]:
    """An array's state in NumPy's pickles is its version, shape, type, whether it is in Fortran's order, and bytes."""
    match array.state:
        case (1, (int(count), 3072), _DataType(arguments=(b"u1", *_)), bool(is_fortran), bytes(content)):
            if count * IMAGE_BYTES == len(content):
                return np.frombuffer(content, np.uint8).reshape(count, IMAGE_BYTES, order="F" if is_fortran else "C")
    raise ValueError(f"its data is no array of {IMAGE_BYTES} bytes an image")
