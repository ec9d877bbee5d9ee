# SPDX-License-Identifier: Apache-2.0
"""The codec without spikes: one pass, a 1-bit quantiser, eight nested blocks of 512 bits.

Shapes   B batch, T blocks, C channels, H rows, W columns, N bits; block i stands where S_i would.
Units    bits in {0, 1}; t counts blocks.
Math     F' = D(bits of blocks 1..t)
Source   none; the networks are in models/networks/one_bit.py.
Differs  Our own baseline: what do spikes buy?
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channel.bits import STEP_BITS, Bits
from models.codecs.codec import Codec, State, Steps
from models.frames import Frame
from models.inference import Inference
from models.networks.codec import GRID, SPIKE_CHANNELS
from models.networks.one_bit import BLOCKS, OneBitDecoder, OneBitEncoder


@dataclass(frozen=True)
class BlockBits(State):
    """The edge's: the bits of all blocks. The cloud's: those that have arrived."""

    bits_BN: Tensor


class OneBitEdge:
    """Feature -> all blocks at once; a frame is the next ones."""

    def __init__(self, inference: Inference, encoder: OneBitEncoder) -> None:
        self._inference, self._encoder = inference, encoder

    def begin(self, feature_BCHW: Tensor) -> BlockBits:
        (bits,) = self._inference.run(self._quantised, feature_BCHW)
        return BlockBits(bits.to("cpu", torch.uint8))

    def _quantised(self, f_BCHW: Tensor) -> tuple[Tensor]:
        return (self._encoder(f_BCHW).flatten(1),)

    def encode(self, state: BlockBits, frame: Frame) -> tuple[Bits, BlockBits]:
        bits_BN: Bits = state.bits_BN[:, STEP_BITS * (frame.first_step - 1) : STEP_BITS * frame.t].numpy()
        return bits_BN, state


class OneBitCloud:
    """The blocks so far -> F'."""

    def __init__(self, inference: Inference, decoder: OneBitDecoder) -> None:
        self._inference, self._decoder = inference, decoder

    def receive(
        self, state: BlockBits | None, bits_BN: Bits, frame: Frame, crossover_B: NDArray[np.float64]
    ) -> BlockBits:
        arrived = torch.from_numpy(bits_BN)
        return BlockBits(arrived if state is None else torch.cat((state.bits_BN, arrived), dim=1))

    def feature(self, state: BlockBits) -> Tensor:
        bits_BTCHW = state.bits_BN.reshape(len(state.bits_BN), -1, SPIKE_CHANNELS, GRID, GRID)
        (feature,) = self._inference.run(self._decoded, bits_BTCHW)
        return feature

    def _decoded(self, bits_BTCHW: Tensor) -> tuple[Tensor]:
        return (self._decoder(bits_BTCHW.float()).float(),)


CNN_1BIT: Final = Codec(
    "cnn-1bit",
    Steps(first=1, last=BLOCKS),
    OneBitEdge,
    OneBitCloud,
    edge_parts={"cnn-1bit-encoder": lambda profile: OneBitEncoder(profile.backbone.feature_channels)},
    cloud_parts={"cnn-1bit-decoder": lambda profile: OneBitDecoder(profile.backbone.feature_channels)},
)
