# SPDX-License-Identifier: Apache-2.0
"""The feature as it is: the error-free reference.

Shapes   B batch, C channels, H rows, W columns, N = 16 C H W bits.
Units    bits in {0, 1}.
Math     none
Source   none
Differs  F is sent as big-endian float16, most significant bit first.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channel.bits import Bits
from models.codecs.codec import Codec, State, Whole
from models.frames import Frame
from models.inference import Inference
from models.networks.codec import GRID

_HALF: Final = np.dtype(">f2")


@dataclass(frozen=True)
class FeatureState(State):
    """The feature itself, on either side."""

    feature_BCHW: Tensor


class UncompressedEdge:
    """Feature -> its float16 bits, in one frame."""

    def __init__(self, inference: Inference) -> None:
        pass

    def begin(self, feature_BCHW: Tensor) -> FeatureState:
        return FeatureState(feature_BCHW)

    def encode(self, state: FeatureState, frame: Frame) -> tuple[Bits, FeatureState]:
        values = state.feature_BCHW.flatten(1).cpu().numpy().astype(_HALF)
        return np.unpackbits(values.view(np.uint8), axis=1), state


class UncompressedCloud:
    """The bits of the one frame -> the feature."""

    def __init__(self, inference: Inference) -> None:
        pass

    def receive(
        self, state: FeatureState | None, bits_BN: Bits, frame: Frame, crossover_B: NDArray[np.float64]
    ) -> FeatureState:
        values = np.packbits(bits_BN, axis=1).view(_HALF).astype(np.float32)
        return FeatureState(torch.from_numpy(values.reshape(len(bits_BN), -1, GRID, GRID)))

    def feature(self, state: FeatureState) -> Tensor:
        return state.feature_BCHW


UNCOMPRESSED: Final = Codec(
    "uncompressed", Whole(8 * _HALF.itemsize), UncompressedEdge, UncompressedCloud, edge_parts={}, cloud_parts={}
)
