# SPDX-License-Identifier: Apache-2.0
"""The edge's side of the link: images -> feature -> the bits of each frame, with explicit state.

Shapes   B batch, N bits of a frame; x_BCHW uint8 [B, 3, 32, 32], f_BCHW [B, C, 4, 4].
Units    bits in {0, 1}.
Math     F = f_E(X), K = S_E(F); what follows K is the codec's
Source   Algorithms 1 and 2 of arXiv 2310.08804.
Differs  none
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channel.bits import Bits
from models.codecs import CODECS, State, rows_of
from models.frames import Frame
from models.inference import Inference
from models.parts import EdgeNetworks


@dataclass(frozen=True)
class TransmitterState:
    """What the edge keeps of B blocks between rounds; ``t`` steps have run, by a codec whose state is ``codec``."""

    feature_BCHW: Tensor
    codec: State | None
    t: int

    def select(self, rows_N: list[int]) -> "TransmitterState":
        """The state of some of the blocks, in the order given."""
        codec = None if self.codec is None else self.codec.select(rows_N)
        return TransmitterState(self.feature_BCHW[rows_of(self.feature_BCHW, rows_N)], codec, self.t)


class Transmitter:
    """Runs the edge's networks of one profile, for the systems whose parts are among them."""

    def __init__(self, networks: EdgeNetworks, inference: Inference) -> None:
        self._networks = networks.to(inference.device)
        self._inference = inference
        self._codecs = {
            name: codec.edge(inference.at_least(codec.tile), *(networks[part] for part in codec.edge_parts))
            for name, codec in CODECS.items()
            if codec.edge_parts.keys() <= networks.keys()
        }

    def begin(self, images_BCHW: NDArray[np.uint8]) -> TransmitterState:
        """images [B, 3, 32, 32] uint8 -> the feature; any system's frames can follow."""
        (feature,) = self._inference.run(self._feature, torch.from_numpy(np.ascontiguousarray(images_BCHW)))
        return TransmitterState(feature, None, 0)

    def _feature(self, x_BCHW: Tensor) -> tuple[Tensor]:
        return (self._networks["edge"](x_BCHW.float() / 255).float(),)

    def encode(self, state: TransmitterState, frame: Frame) -> tuple[Bits, TransmitterState]:
        """The bits of a frame, bits_BN [B, frame.bits], and the state after its last step.

        Raises ValueError where the frame does not start at the step that follows the state's, and KeyError where the
        networks lack parts of the frame's codec.
        """
        if frame.first_step != state.t + 1:
            raise ValueError(f"the frame starts at step {frame.first_step}, but {state.t} steps have run")
        codec = self._codecs[frame.codec]
        bits_BN, after = codec.encode(state.codec or codec.begin(state.feature_BCHW), frame)
        if frame.carries_prior:
            bits_BN = np.concatenate((self._prior(state.feature_BCHW), bits_BN), axis=1)
        return bits_BN, TransmitterState(state.feature_BCHW, after, frame.t)

    def _prior(self, feature_BCHW: Tensor) -> Bits:
        (prior_BK,) = self._inference.run(self._extracted, feature_BCHW)
        bits_BK: Bits = prior_BK.to("cpu", torch.uint8).numpy()
        return bits_BK

    def _extracted(self, f_BCHW: Tensor) -> tuple[Tensor]:
        return (self._networks["prior"](f_BCHW),)
