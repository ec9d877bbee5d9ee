# SPDX-License-Identifier: Apache-2.0
"""The codec without spikes that the spiking one is compared with: one pass, a 1-bit quantiser, eight nested blocks.

Shapes   B batch, T blocks of 512 bits, C channels, H rows, W columns; f_BCHW [B, C, 4, 4], bits_BTCHW [B, T, 32, 4, 4].
Units    bits in {0, 1}; features dimensionless.
Math     N1  Z = BN(Conv(ReLU(BN(Conv(F))))), bits = [Z > 0], straight-through gradient of sigmoid(Z)
         N2  F' = ReLU(BN(Conv(ReLU(BN(Conv(X)))))), X = 2 bits - 1 where a block arrived, 0 where none did
Source   none; it answers what spikes buy, as the 1-bit CNN of SpikeAdapt-SC does (github.com/JPL11/SpikeAdapt-SC).
Differs  All layers are our choice. Hidden channels and 3x3 kernels on the feature's side are the spiking codec's; the
         kernels on the bits' side are 1x1, which makes the number of parameters the same to 1 %.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from models.networks.codec import GRID, HIDDEN_CHANNELS, SPIKE_CHANNELS

BLOCKS = 8


def _conv_norm(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))


class OneBitEncoder(nn.Module):
    """Feature -> eight blocks of 512 bits; the receiver can use any number of the first ones."""

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.hidden = _conv_norm(feature_channels, HIDDEN_CHANNELS, 3)
        self.output = _conv_norm(HIDDEN_CHANNELS, BLOCKS * SPIKE_CHANNELS, 1)

    def forward(self, f_BCHW: Tensor) -> Tensor:
        """f_BCHW [B, C, 4, 4] -> bits_BTCHW [B, 8, 32, 4, 4] in {0, 1}, float32 (Eq. N1)."""
        z_BCHW = self.output(torch.relu(self.hidden(f_BCHW))).float()
        soft = torch.sigmoid(z_BCHW)
        bits: Tensor = (z_BCHW > 0).float() + (soft - soft.detach())
        return bits.reshape(len(bits), BLOCKS, SPIKE_CHANNELS, GRID, GRID)


class OneBitDecoder(nn.Module):
    """The blocks that arrived -> F'. Batch norm fits every t only if t differs from image to image in training."""

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.hidden = _conv_norm(BLOCKS * SPIKE_CHANNELS, HIDDEN_CHANNELS, 1)
        self.output = _conv_norm(HIDDEN_CHANNELS, feature_channels, 3)

    def forward(self, bits_BTCHW: Tensor, t_B: Tensor | None = None) -> Tensor:
        """bits_BTCHW [B, t, 32, 4, 4] in {0, 1} of the first t blocks -> F' [B, C, 4, 4], >= 0 (Eq. N2).

        ``t_B`` [B], where given, is how many of them each image has; the others count as missing.
        Raises ValueError for no block and for more than eight.
        """
        batch, present = bits_BTCHW.shape[:2]
        if not 1 <= present <= BLOCKS:
            raise ValueError(f"{present} blocks, but the decoder takes 1 to {BLOCKS}")
        signs_BTCHW = 2.0 * bits_BTCHW - 1.0
        if t_B is not None:
            arrived_BT = torch.arange(present, device=t_B.device)[None, :] < t_B[:, None]
            signs_BTCHW = signs_BTCHW * arrived_BT[:, :, None, None, None]
        missing = SPIKE_CHANNELS * (BLOCKS - present)
        x_BCHW = pad(signs_BTCHW.reshape(batch, -1, GRID, GRID), (0, 0, 0, 0, 0, missing))
        feature: Tensor = torch.relu(self.output(torch.relu(self.hidden(x_BCHW))))
        return feature
