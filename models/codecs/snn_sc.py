# SPDX-License-Identifier: Apache-2.0
"""The spiking codec, one step of 512 spikes after the other.

Shapes   B batch, C channels, H rows, W columns, K = 2t maps, N bits; S_t is (32, 4, 4).
Units    bits in {0, 1}; currents, membranes and maps dimensionless.
Math     S_t = E(F), F' = C(R(S^_1), ..., R(S^_t))
Source   Algorithm 1 of arXiv 2310.08804; the networks are in models/networks/codec.py.
Differs  none beyond those of the networks.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channel.bits import Bits
from models.codecs.codec import Codec, State, Steps
from models.frames import Frame
from models.inference import Inference
from models.networks.codec import GRID, SPIKE_CHANNELS, Converter, Encoder, Membranes, Reconstructor


@dataclass(frozen=True)
class SpikingState(State):
    """The edge's: the constant input current, and the membranes after the steps so far."""

    current_BCHW: Tensor
    hidden_BCHW: Tensor
    output_BCHW: Tensor


class SnnScEdge:
    """E(.; alpha)."""

    def __init__(self, inference: Inference, encoder: Encoder) -> None:
        self._inference, self._encoder = inference, encoder

    def begin(self, feature_BCHW: Tensor) -> SpikingState:
        (current,) = self._inference.run(self._input_current, feature_BCHW)
        rest = self._encoder.at_rest(len(feature_BCHW), self._inference.device)
        return SpikingState(current, rest.hidden_BCHW, rest.output_BCHW)

    def encode(self, state: SpikingState, frame: Frame) -> tuple[Bits, SpikingState]:
        return self.spike(state, frame.steps)

    def spike(self, state: SpikingState, count: int) -> tuple[Bits, SpikingState]:
        """The spikes of the next ``count`` steps, [B, 512 count]."""
        steps, current = EncoderSteps(self._encoder, count), state.current_BCHW
        bits_BN, hidden, output = self._inference.run(steps, current, state.hidden_BCHW, state.output_BCHW)
        return bits_BN.cpu().numpy(), SpikingState(current, hidden, output)

    def _input_current(self, f_BCHW: Tensor) -> tuple[Tensor]:
        return (self._encoder.input_current(f_BCHW),)


@dataclass(frozen=True)
class EncoderSteps:
    """So many steps of the encoder as one pass: one frame's, whichever came before it.

    Input current and membranes [B, C, H, W] -> bits_BN uint8 [B, 512 count], and the membranes after them.
    """

    encoder: Encoder
    count: int

    def __call__(self, current_BCHW: Tensor, hidden_BCHW: Tensor, output_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        spikes, membranes = [], Membranes(hidden_BCHW, output_BCHW)
        for _ in range(self.count):
            s_BCHW, membranes = self.encoder.step(current_BCHW, membranes)
            spikes.append(s_BCHW.flatten(1).to(torch.uint8))
        return torch.cat(spikes, dim=1), membranes.hidden_BCHW, membranes.output_BCHW


@dataclass(frozen=True)
class RebuiltState(State):
    """The cloud's: the reconstructor's membranes, and all maps so far."""

    hidden_BCHW: Tensor
    output_BCHW: Tensor
    maps_BKCHW: Tensor


class SnnScCloud:
    """R(.; beta) and C(.; gamma)."""

    def __init__(self, inference: Inference, reconstructor: Reconstructor, converter: Converter) -> None:
        self._inference, self._reconstructor, self._converter = inference, reconstructor, converter

    def receive(
        self, state: RebuiltState | None, bits_BN: Bits, frame: Frame, crossover_B: NDArray[np.float64]
    ) -> RebuiltState:
        return self.rebuild(state, bits_BN)

    def rebuild(self, state: RebuiltState | None, bits_BN: Bits) -> RebuiltState:
        """Run the reconstructor over the steps in ``bits_BN`` [B, 512 count], count >= 1."""
        spikes = torch.from_numpy(bits_BN).reshape(len(bits_BN), -1, SPIKE_CHANNELS, GRID, GRID)
        rest = self._reconstructor.at_rest(len(bits_BN), self._inference.device)
        hidden, output = (rest if state is None else state).hidden_BCHW, (rest if state is None else state).output_BCHW
        maps_BKCHW, hidden, output = self._inference.run(self._steps, spikes, hidden, output)
        before = [] if state is None else [state.maps_BKCHW]
        return RebuiltState(hidden, output, torch.cat([*before, maps_BKCHW], dim=1))

    def _steps(self, s_BTCHW: Tensor, hidden_BCHW: Tensor, output_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps, membranes = [], Membranes(hidden_BCHW, output_BCHW)
        for s_BCHW in s_BTCHW.unbind(1):
            pair, membranes = self._reconstructor.step(s_BCHW.float(), membranes)
            maps.append(pair)
        return torch.cat(maps, dim=1), membranes.hidden_BCHW, membranes.output_BCHW

    def feature(self, state: RebuiltState) -> Tensor:
        (feature,) = self._inference.run(self._converted, state.maps_BKCHW)
        return feature

    def _converted(self, maps_BKCHW: Tensor) -> tuple[Tensor]:
        return (self._converter(maps_BKCHW).float(),)


SNN_SC: Final = Codec(
    "snn-sc",
    Steps(),
    SnnScEdge,
    SnnScCloud,
    edge_parts={"encoder": lambda profile: Encoder(profile.backbone.feature_channels)},
    cloud_parts={
        "reconstructor": lambda profile: Reconstructor(profile.backbone.feature_channels),
        "converter": lambda profile: Converter(profile.max_steps),
    },
    tile=4,
)
