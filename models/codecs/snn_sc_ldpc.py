# SPDX-License-Identifier: Apache-2.0
"""Separate coding: three steps of spikes, trained without noise, behind CRC24A and 5G LDPC.

Shapes   B blocks, N bits; the codeword [B, 4128] stands at positions 0..4127 of the HARQ process.
Units    bits in {0, 1}; llr = log p(b=1)/p(b=0); t in units of 512 coded bits after the first 32.
Math     F' = C(R(S^_1), R(S^_2), R(S^_3)), S^ = LDPC decoder's hard decision on the LLRs of all frames so far
Source   Section III-B of arXiv 2310.08804 names the system; channel/ldpc.py says which code.
Differs  Kind of LDPC, CRC and decoder are ours. Where the CRC never holds, the wrong bits are used as they are: the
         cliff comes out of the decoder, not of a rule.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channel.bits import PRIOR_BITS, STEP_BITS, Bits
from channel.ldpc import CODED_BITS, INFORMATION_BITS, PREFIX_BITS, bsc_llr, prefix_ldpc
from models.codecs.codec import Codec, State, Steps
from models.codecs.snn_sc import SnnScCloud, SnnScEdge
from models.frames import Frame
from models.inference import Inference
from models.networks.codec import Converter, Encoder, Reconstructor

SNN_STEPS: Final = INFORMATION_BITS // STEP_BITS


def _step_after(coded_bits: int) -> int:
    return (coded_bits - PRIOR_BITS) // STEP_BITS


@dataclass(frozen=True)
class CodewordState(State):
    """The edge's: the whole codeword, [B, 4128]."""

    word_BN: Tensor


class SnnScLdpcEdge:
    """Encoder, CRC, LDPC encoder; a frame is the next piece of the codeword."""

    def __init__(self, inference: Inference, encoder: Encoder) -> None:
        self._snn = SnnScEdge(inference, encoder)

    def begin(self, feature_BCHW: Tensor) -> CodewordState:
        bits_BN, _ = self._snn.spike(self._snn.begin(feature_BCHW), SNN_STEPS)
        return CodewordState(torch.from_numpy(prefix_ldpc().encode(bits_BN)))

    def encode(self, state: CodewordState, frame: Frame) -> tuple[Bits, CodewordState]:
        bits_BN: Bits = state.word_BN[:, frame.position : frame.position + frame.bits].numpy()
        return bits_BN, state


@dataclass(frozen=True)
class DecodedState(State):
    """The cloud's: LLRs of all coded bits so far, the hard decision on the information bits, whether the CRC holds."""

    llr_BN: Tensor
    bits_BN: Tensor
    crc_ok_B: Tensor


class SnnScLdpcCloud:
    """LDPC decoder over all frames so far, then reconstructor and converter."""

    def __init__(self, inference: Inference, reconstructor: Reconstructor, converter: Converter) -> None:
        self._snn = SnnScCloud(inference, reconstructor, converter)

    def receive(
        self, state: DecodedState | None, bits_BN: Bits, frame: Frame, crossover_B: NDArray[np.float64]
    ) -> DecodedState:
        llr_BN = torch.from_numpy(bsc_llr(bits_BN, crossover_B))
        llr_BN = llr_BN if state is None else torch.cat((state.llr_BN, llr_BN), dim=1)
        decoded = prefix_ldpc().decode(llr_BN.numpy())
        return DecodedState(llr_BN, torch.from_numpy(decoded.bits_BK), torch.from_numpy(decoded.crc_ok_B))

    def feature(self, state: DecodedState) -> Tensor:
        return self._snn.feature(self._snn.rebuild(None, state.bits_BN.numpy()))

    def crc_ok(self, state: DecodedState) -> NDArray[np.bool_]:
        ok_B: NDArray[np.bool_] = state.crc_ok_B.numpy()
        return ok_B


SNN_SC_LDPC: Final = Codec(
    "snn-sc-ldpc",
    Steps(first=_step_after(PREFIX_BITS[0]), last=_step_after(CODED_BITS), start=0),
    SnnScLdpcEdge,
    SnnScLdpcCloud,
    edge_parts={"noise-free-encoder": lambda profile: Encoder(profile.backbone.feature_channels)},
    cloud_parts={
        "noise-free-reconstructor": lambda profile: Reconstructor(profile.backbone.feature_channels),
        "noise-free-converter": lambda profile: Converter(SNN_STEPS),
    },
    tile=4,
)
