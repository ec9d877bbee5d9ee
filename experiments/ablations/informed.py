# SPDX-License-Identifier: Apache-2.0
"""A converter that also sees p: not part of the product unless its ablation says that it should be.

Shapes   B batch, K = 2t maps of (C, 4, 4), N positions of a map; shift_K and p_B.
Units    p the crossover probability, seen in units of 0.1; gates in (0, 1).
Math     F' = sum_k sigmoid(A X + b + c p / 0.1)_k X_k; with c = 0 Eq. M3 of models/networks/codec.py
Source   ours: p as one more input channel of the converter's gate, constant over positions.
Differs  In training p is that of the image's noise; at the cloud the bit-weighted mean of its frames, as for SimNet.
"""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from experiments.evaluation.parts import Parts, Spec
from experiments.training.codecs import Codec
from models.codecs import SNN_SC
from models.codecs.snn_sc import RebuiltState
from models.inference import Inference
from models.networks.codec import Converter
from models.parts import CloudNetworks
from models.profiles import PROFILES
from models.receiver import Receiver, ReceiverState
from models.transmitter import Transmitter
from models.weights import CLOUD_PARTS, load_edge, load_part

_P_UNIT: Final = 0.1
_SHIFT: Final = "shift"


class InformedConverter(Converter):
    """The shipped converter whose gates p may open or close; weights without ``shift`` load as the shipped one."""

    def __init__(self, max_steps: int) -> None:
        super().__init__(max_steps)
        self.shift = nn.Parameter(torch.zeros(self.max_maps))
        self.register_load_state_dict_pre_hook(_start_without_effect)  # type: ignore[no-untyped-call]  # torch's stubs

    def informed(self, maps_BKCHW: Tensor, p_B: Tensor) -> Tensor:
        """maps [B, 2t, C, 4, 4] and p -> F' [B, C, 4, 4]."""
        batch, present, *shape = maps_BKCHW.shape
        x_BKN = maps_BKCHW.reshape(batch, present, -1)
        weight, bias = self.gate.weight[:present, :present], self.gate.bias[:present]
        bias_BK = bias + self.shift[:present] * (p_B.to(bias)[:, None] / _P_UNIT)
        gate_BKN = torch.sigmoid(torch.matmul(weight, x_BKN).float() + bias_BK[:, :, None])
        return (gate_BKN * x_BKN).sum(dim=1).reshape(batch, *shape)


def _start_without_effect(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    if isinstance(module, InformedConverter) and f"{prefix}gate.bias" in state:
        state.setdefault(prefix + _SHIFT, torch.zeros_like(module.shift))


class InformedCodec(Codec):
    """The spiking codec in training, its converter told each image's p."""

    def __init__(self, feature_channels: int, max_steps: int, *, keep_norm: bool = False) -> None:
        super().__init__(feature_channels, max_steps, keep_norm=keep_norm)
        self.converter = InformedConverter(max_steps)

    def convert(self, maps_BKCHW: Tensor, p_B: Tensor) -> Tensor:
        assert isinstance(self.converter, InformedConverter)
        return self.converter.informed(maps_BKCHW, p_B)


class InformedReceiver(Receiver):
    """The cloud with such a converter: F' depends on the mean p of the frames so far."""

    def __init__(self, networks: CloudNetworks, inference: Inference, converter: InformedConverter) -> None:
        super().__init__(networks, inference)
        self._converter, self._tiled = converter.to(inference.device), inference.at_least(SNN_SC.tile)

    def feature(self, state: ReceiverState) -> Tensor:
        assert isinstance(state.codec, RebuiltState), f"{state.codec_name} has no maps"
        p_B = torch.from_numpy(state.mean_crossover())
        (feature,) = self._tiled.run(self._informed, state.codec.maps_BKCHW, p_B)
        return feature

    def _informed(self, maps_BKCHW: Tensor, p_B: Tensor) -> tuple[Tensor]:
        return (self._converter.informed(maps_BKCHW, p_B).float(),)


@dataclass(frozen=True)
class InformedSpec(Spec):
    """Weights whose converter sees p."""

    def load(self) -> Parts:
        profile, manifest, inference = PROFILES[self.profile], self.manifest(), self.inference()
        networks, converter = CloudNetworks(profile, CLOUD_PARTS), InformedConverter(profile.max_steps)
        networks["converter"] = converter
        for name, part in networks.items():
            load_part(part, name, self.profile, manifest.parts, self.weights)
        networks.requires_grad_(False).eval()
        transmitter = Transmitter(load_edge(profile, manifest, self.weights), inference)
        return Parts(profile, transmitter, InformedReceiver(networks, inference, converter), inference.device)
