# SPDX-License-Identifier: Apache-2.0
"""The codecs as they are trained: a batch is sent over drawn noise, and F' comes out.

``learn`` sends one training batch and gives F' with the penalty that is added to the cross-entropy; ``rebuild`` gives
F' after several numbers of steps over one noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from experiments.training.draws import Draws, flip_straight_through
from models.losses import entropy_penalty, spike_entropy_bits
from models.networks.codec import Converter, Encoder, Reconstructor
from models.networks.one_bit import OneBitDecoder, OneBitEncoder


@dataclass(frozen=True)
class Transmission:
    """The sent spikes by step, and the maps [B, 2t, C, 4, 4] rebuilt from what arrived."""

    spikes: list[Tensor]
    maps_BKCHW: Tensor


@dataclass(frozen=True)
class Rebuilt:
    """F' for each number of steps that was asked for, and the mean entropy of what was sent, in bits a bit."""

    features: tuple[Tensor, ...]
    entropy_bits: Tensor


class Codec(nn.Module):
    """The spiking codec: encoder, reconstructor and converter under their names in the weights.

    ``keep_norm``: batch norm keeps the statistics that it has, as in the joint stage (experiments/training/joint.py).
    """

    def __init__(self, feature_channels: int, max_steps: int, *, keep_norm: bool = False) -> None:
        super().__init__()
        self._keep_norm = keep_norm
        self.encoder = Encoder(feature_channels)
        self.reconstructor = Reconstructor(feature_channels)
        self.converter = Converter(max_steps)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self._keep_norm)

    def transmit(self, f_BCHW: Tensor, steps: int, p_B: Tensor, generator: torch.Generator) -> Transmission:
        """Algorithm 1's inner loop: encode, flip each bit with probability p, reconstruct, for ``steps`` steps."""
        batch, device = len(f_BCHW), f_BCHW.device
        current = self.encoder.input_current(f_BCHW)
        sender, receiver = self.encoder.at_rest(batch, device), self.reconstructor.at_rest(batch, device)
        spikes, maps = [], []
        for _ in range(steps):
            s_BCHW, sender = self.encoder.step(current, sender)
            pair, receiver = self.reconstructor.step(flip_straight_through(s_BCHW, p_B, generator), receiver)
            spikes.append(s_BCHW)
            maps.append(pair)
        return Transmission(spikes, torch.cat(maps, dim=1))

    def learn(self, f_BCHW: Tensor, draws: Draws, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """t per batch, p per image -> F' [B, C, 4, 4] and the second term of Eq. (4)."""
        t, p_B = draws.steps(generator), draws.bers(len(f_BCHW), generator)
        sent = self.transmit(f_BCHW, t, p_B, generator)
        return self.convert(sent.maps_BKCHW, p_B), entropy_penalty(sent.spikes)

    def rebuild(self, f_BCHW: Tensor, p_B: Tensor, steps: Sequence[int], generator: torch.Generator) -> Rebuilt:
        sent = self.transmit(f_BCHW, max(steps), p_B, generator)
        entropy_bits = torch.stack([spike_entropy_bits(s) for s in sent.spikes]).mean()
        return Rebuilt(tuple(self.convert(sent.maps_BKCHW[:, : 2 * t], p_B) for t in steps), entropy_bits)

    def convert(self, maps_BKCHW: Tensor, p_B: Tensor) -> Tensor:
        """F' [B, C, 4, 4] of the maps so far; the paper's converter does not see p."""
        feature_BCHW: Tensor = self.converter(maps_BKCHW)
        return feature_BCHW


class OneBitCodec(nn.Module):
    """The 1-bit CNN: t counts its blocks of 512 bits."""

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.encoder = OneBitEncoder(feature_channels)
        self.decoder = OneBitDecoder(feature_channels)

    def learn(self, f_BCHW: Tensor, draws: Draws, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """t and p per image -> F' [B, C, 4, 4]; batch norm keeps the bits balanced, so nothing is added to the loss."""
        t_B, p_B = draws.steps_per_image(len(f_BCHW), generator), draws.bers(len(f_BCHW), generator)
        received_BTCHW = flip_straight_through(self.encoder(f_BCHW), p_B, generator)
        return self.decoder(received_BTCHW, t_B.to(f_BCHW.device)), f_BCHW.new_zeros(())

    def rebuild(self, f_BCHW: Tensor, p_B: Tensor, steps: Sequence[int], generator: torch.Generator) -> Rebuilt:
        bits_BTCHW = self.encoder(f_BCHW)
        received_BTCHW = flip_straight_through(bits_BTCHW, p_B, generator)
        features = tuple(self.decoder(received_BTCHW[:, :t]) for t in steps)
        return Rebuilt(features, spike_entropy_bits(bits_BTCHW))


AnyCodec = Codec | OneBitCodec
