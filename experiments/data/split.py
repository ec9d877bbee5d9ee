# SPDX-License-Identifier: Apache-2.0
"""Image ids and the one validation split that serves every stage, the backbone included.

An image's id is the sha256 of its 3,072 pixel bytes (red, green, blue planes), because archives differ in order.
The 2,500 validation images of CIFAR-100's training set are listed by the first 16 digits of their ids: they are the
images that the backbone which training starts from has not seen.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_LIST = Path(__file__).with_name("cifar100_validation_ids.txt")
_DIGITS = 16


def image_id(image_CHW: NDArray[np.uint8]) -> str:
    """The id of a 32x32 image, uint8 [3, 32, 32]."""
    return sha256(np.ascontiguousarray(image_CHW).tobytes()).hexdigest()


def noise_block(name: str) -> int:
    """The block index of an image in evaluations and sweeps: the first 52 bits of its id."""
    return int(name[:13], 16)


@cache
def validation_prefixes() -> frozenset[str]:
    return frozenset(_LIST.read_text().split())


def is_validation(name: str) -> bool:
    """Whether an image of the training set, given by its id, belongs to the validation split."""
    return name[:_DIGITS] in validation_prefixes()
