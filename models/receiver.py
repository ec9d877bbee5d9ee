# SPDX-License-Identifier: Apache-2.0
"""The cloud's side of the link: received bits -> reconstructed feature, verdict, logits, with explicit state.

Shapes   B batch, R rounds, N bits of a frame, K prior bits, L classes.
Units    bits in {0, 1}; crossover probability p in [0, 0.5]; score a similarity, a margin of two probabilities, or an
         outlook (models/networks/outlook.py).
Math     F' by the codec; ACK if score > theta, score = S_D(F', K^, p), or margin = P_(1) - P_(2) of f_T(F'), or
         outlook(margin, p, t); or if the CRC holds
Source   Section II of arXiv 2310.08804.
Differs  Margin and outlook are our own stop rules. Score and theta are compared as float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channel.bits import Bits
from models.codecs import CODECS, Checked, State, rows_of
from models.frames import Frame
from models.inference import Inference
from models.networks.outlook import Outlook, outlook, seen
from models.networks.simnet import SimilarityEstimator
from models.parts import CloudNetworks
from models.systems import StopRule, System

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ReceiverState:
    """What the cloud holds of B blocks after ``t`` steps. It can always be rebuilt from the received bits.

    ``crossover_BR`` [B, R] float64 is the p that each frame met, ``frame_bits`` what it had.
    """

    prior_BK: Tensor
    crossover_BR: Tensor
    frame_bits: tuple[int, ...]
    codec_name: str
    codec: State
    t: int

    def select(self, rows_N: list[int]) -> "ReceiverState":
        """The state of some of the blocks, in the order given."""
        prior_BK, crossover_BR = (part[rows_of(part, rows_N)] for part in (self.prior_BK, self.crossover_BR))
        return ReceiverState(
            prior_BK, crossover_BR, self.frame_bits, self.codec_name, self.codec.select(rows_N), self.t
        )

    @property
    def size_bytes(self) -> int:
        shared = sum(part.numel() * part.element_size() for part in (self.prior_BK, self.crossover_BR))
        return shared + self.codec.size_bytes

    def mean_crossover(self) -> Floats:
        """Bit-weighted mean p of each block's frames, [B]; exactly p where p never changed."""
        p_BR, bits_R = self.crossover_BR.numpy(), np.array(self.frame_bits)
        mean_B = (p_BR * bits_R).sum(axis=1) / bits_R.sum()
        constant_B = (p_BR == p_BR[:, :1]).all(axis=1)
        return np.where(constant_B, p_BR[:, 0], mean_B).astype(np.float32)


@dataclass(frozen=True)
class Verdict:
    """The cloud's view of B blocks: what its stop rule asked for, and logits_BL where the rule needed them."""

    score_B: Floats | None = None
    crc_ok_B: NDArray[np.bool_] | None = None
    logits_BL: Floats | None = None


class Receiver:
    """Runs the cloud's networks of one profile, for the systems whose parts are among them."""

    def __init__(self, networks: CloudNetworks, inference: Inference) -> None:
        self._networks = networks.to(inference.device)
        self._inference = inference
        self._codecs = {
            name: codec.cloud(inference.at_least(codec.tile), *(networks[part] for part in codec.cloud_parts))
            for name, codec in CODECS.items()
            if codec.cloud_parts.keys() <= networks.keys()
        }

    def combine(
        self, state: ReceiverState | None, bits_BN: Bits, frame: Frame, crossover_B: NDArray[np.float64]
    ) -> ReceiverState:
        """Add a frame to what arrived before.

        ``state`` is None for the first frame; ``crossover_B`` [B] is the p that this frame met. Raises ValueError
        where the frame does not follow the state, and KeyError where the networks lack parts of the frame's codec.
        """
        if (state.t if state else 0) + 1 != frame.first_step:
            raise ValueError(f"a frame from step {frame.first_step} does not follow {state.t if state else 0} steps")
        before = None if state is None else state.codec
        after = self._codecs[frame.codec].receive(before, bits_BN[:, frame.prior_bits :], frame, crossover_B)
        crossover_B1 = torch.from_numpy(crossover_B.astype(np.float64))[:, None]
        if state is None:
            prior_BK = torch.from_numpy(bits_BN[:, : frame.prior_bits])
            return ReceiverState(prior_BK, crossover_B1, (frame.bits,), frame.codec, after, frame.t)
        crossover_BR = torch.cat((state.crossover_BR, crossover_B1), dim=1)
        frame_bits = (*state.frame_bits, frame.bits)
        return ReceiverState(state.prior_BK, crossover_BR, frame_bits, frame.codec, after, frame.t)

    def feature(self, state: ReceiverState) -> Tensor:
        """F' [B, C, 4, 4] of what has arrived so far, float32."""
        return self._codecs[state.codec_name].feature(state.codec)

    def judge(self, system: System, state: ReceiverState) -> Verdict:
        """What the system's stop rule goes by."""
        if system.stop is StopRule.FIXED:
            return Verdict()
        if system.stop is StopRule.CRC:
            codec = self._codecs[state.codec_name]
            assert isinstance(codec, Checked), f"codec {state.codec_name} has no CRC"
            return Verdict(crc_ok_B=codec.crc_ok(state.codec))
        feature = self.feature(state)
        if system.stop in (StopRule.MARGIN, StopRule.OUTLOOK):
            logits_BL = self.logits(feature)
            margin_B = margin(logits_BL)
            score_B = margin_B if system.stop is StopRule.MARGIN else self._outlook(margin_B, state)
            return Verdict(score_B, logits_BL=logits_BL)
        return Verdict(self.similarity(feature, state.prior_BK, state.mean_crossover()))

    def _outlook(self, margin_B: Floats, state: ReceiverState) -> Floats:
        p_B, t_B = torch.from_numpy(state.mean_crossover()), torch.full((len(margin_B),), float(state.t))
        (score_B,) = self._inference.run(self._expected, seen(torch.from_numpy(margin_B), p_B, t_B))
        return score_B.cpu().numpy()

    def _expected(self, x_BF: Tensor) -> tuple[Tensor]:
        network = self._networks["outlook"]
        assert isinstance(network, Outlook)
        return (outlook(network, x_BF),)

    def similarity(self, feature_BCHW: Tensor, prior_BK: Tensor, crossover_B: Floats) -> Floats:
        """S_D: what SimNet says of F' [B, C, 4, 4], received prior bits and p -> estimate_B, float32."""
        (estimate_B,) = self.similarities(feature_BCHW, [prior_BK], crossover_B)
        return estimate_B

    def similarities(self, feature_BCHW: Tensor, priors: Sequence[Tensor], crossover_B: Floats) -> list[Floats]:
        """S_D of one F' [B, C, 4, 4] and each of ``priors``, prior_BK [B, 32] -> an estimate_B each, float32.

        What SimNet makes of F' alone is computed once.
        """
        estimates = self._inference.run(self._estimates, feature_BCHW, torch.from_numpy(crossover_B), *priors)
        return [estimate_B.cpu().numpy() for estimate_B in estimates]

    def _estimates(self, f_BCHW: Tensor, p_B: Tensor, *priors: Tensor) -> tuple[Tensor, ...]:
        network = self._networks["similarity"]
        assert isinstance(network, SimilarityEstimator)
        e_BE = network.embedding(f_BCHW)
        return tuple(network.estimate(e_BE, k_BK, p_B) for k_BK in priors)

    def logits(self, feature_BCHW: Tensor) -> Floats:
        """f_T of (reconstructed) features -> logits_BL [B, 100], float32."""
        (logits,) = self._inference.run(self._classified, feature_BCHW)
        return logits.cpu().numpy()

    def _classified(self, f_BCHW: Tensor) -> tuple[Tensor]:
        return (self._networks["head"](f_BCHW).float(),)


def margin(logits_BL: Floats) -> Floats:
    """P_(1) - P_(2): the difference of the two largest probabilities -> [B], float32."""
    largest_B2 = torch.from_numpy(logits_BL).softmax(dim=1).topk(2, dim=1).values
    return (largest_B2[:, 0] - largest_B2[:, 1]).numpy()


def accepts(score: np.float32, theta: float) -> bool:
    """The stop rule: score > theta, both float32."""
    return bool(np.float32(score) > np.float32(theta))
