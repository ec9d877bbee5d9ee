# SPDX-License-Identifier: Apache-2.0
"""Multi-rate SNN-SC: encoder, reconstructor and converter, each step a function (input, state) -> (output, state).

Shapes   B batch, C channels, H rows, W columns, K = 2T maps; f_BCHW [B, C, 4, 4], s_BCHW [B, 32, 4, 4].
Units    spikes in {0, 1}; membrane potentials and features dimensionless.
Math     M1  I = BN(Conv(F)), the same at every step; S_t = IF(BN(Conv(IF(I))))
         M2  (F_s^t, F_m^t) = IHF(BN(Conv(IF(BN(Conv(S^_t))))))
         M3  F' = sum_k sigmoid(A X + b)_k X_k over X = (F_s^1, F_m^1, ..., F_s^T, F_m^T), missing steps 0
Source   Fig. 2 and Algorithm 1 of arXiv 2310.08804; layer sizes after the SNN-SC paper, arXiv 2210.06836.
Differs  The sigmoid gate of M3 is our choice for "FCN-based converter".
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks.linear import SteadyLinear
from models.networks.neurons import integrate_and_fire

SPIKE_CHANNELS = 32
HIDDEN_CHANNELS = 256
GRID = 4
#: Maps and gates of so many rows fit a core's cache; all rows at once take a quarter to half as long again (0013).
_ROWS_IN_CACHE = 4


@dataclass(frozen=True)
class Membranes:
    """Membrane potentials of a two-layer spiking network, hidden_BCHW and output_BCHW, float32."""

    hidden_BCHW: Tensor
    output_BCHW: Tensor

    @classmethod
    def at_rest(cls, batch: int, hidden: int, output: int, device: torch.device) -> "Membranes":
        zeros = [torch.zeros(batch, channels, GRID, GRID, device=device) for channels in (hidden, output)]
        return cls(*zeros)


def _conv_norm(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out))


class Encoder(nn.Module):
    """E(.; alpha): feature -> one spike map per time step."""

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.hidden = _conv_norm(feature_channels, HIDDEN_CHANNELS)
        self.output = _conv_norm(HIDDEN_CHANNELS, SPIKE_CHANNELS)

    def input_current(self, f_BCHW: Tensor) -> Tensor:
        """I [B, 256, 4, 4] of Eq. M1: F does not change, so neither does the first neurons' input current."""
        current: Tensor = self.hidden(f_BCHW)
        return current.float()

    def at_rest(self, batch: int, device: torch.device) -> Membranes:
        return Membranes.at_rest(batch, HIDDEN_CHANNELS, SPIKE_CHANNELS, device)

    def step(self, current_BCHW: Tensor, state: Membranes) -> tuple[Tensor, Membranes]:
        """One time step -> (S_t [B, 32, 4, 4], state)."""
        spike, hidden = integrate_and_fire(current_BCHW, state.hidden_BCHW)
        spike, output = integrate_and_fire(self.output(spike), state.output_BCHW)
        return spike, Membranes(hidden, output)


class Reconstructor(nn.Module):
    """R(.; beta): received spikes -> spike and membrane maps of the feature's shape."""

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.feature_channels = feature_channels
        self.hidden = _conv_norm(SPIKE_CHANNELS, HIDDEN_CHANNELS)
        self.output = _conv_norm(HIDDEN_CHANNELS, feature_channels)

    def at_rest(self, batch: int, device: torch.device) -> Membranes:
        return Membranes.at_rest(batch, HIDDEN_CHANNELS, self.feature_channels, device)

    def step(self, s_BCHW: Tensor, state: Membranes) -> tuple[Tensor, Membranes]:
        """One time step -> (maps [B, 2, C, 4, 4], state); maps are (F_s^t, F_m^t)."""
        spike, hidden = integrate_and_fire(self.hidden(s_BCHW), state.hidden_BCHW)
        spike, output = integrate_and_fire(self.output(spike), state.output_BCHW)
        return torch.stack((spike, output), dim=1), Membranes(hidden, output)


class Converter(nn.Module):
    """C(.; gamma): the maps of up to T steps -> F'. One gate per map, shared by all positions."""

    def __init__(self, max_steps: int) -> None:
        super().__init__()
        self.max_maps = 2 * max_steps
        self.gate = SteadyLinear(self.max_maps, self.max_maps)

    def forward(self, maps_BKCHW: Tensor) -> Tensor:
        """maps [B, 2t, C, 4, 4] -> F' [B, C, 4, 4] (Eq. M3); maps of steps not yet run count as zeros.

        Raises ValueError where more than T steps are given.
        """
        batch, present, *shape = maps_BKCHW.shape
        if present > self.max_maps:
            raise ValueError(f"{present} maps, but the converter has {self.max_maps}")
        x_BKN = maps_BKCHW.reshape(batch, present, -1)
        if self.training or x_BKN.is_cuda:
            return self._weighed(x_BKN).reshape(batch, *shape)
        return torch.cat([self._weighed(x_RKN) for x_RKN in torch.split(x_BKN, _ROWS_IN_CACHE)]).reshape(batch, *shape)

    def _weighed(self, x_BKN: Tensor) -> Tensor:
        """[B, 2t, N] -> [B, N]."""
        present = x_BKN.shape[1]
        # Zero maps add nothing to A X nor to the sum, so their columns and gates are left out rather than padded.
        weight, bias = self.gate.weight[:present, :present], self.gate.bias[:present]
        gate_BKN = torch.sigmoid(torch.matmul(weight, x_BKN).float() + bias[:, None])
        return (gate_BKN * x_BKN).sum(dim=1)
