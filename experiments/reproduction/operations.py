# SPDX-License-Identifier: Apache-2.0
"""Operations of each network for one image, counted by SpikingJelly's op_counter on real images and their spikes.

Units    pJ at 45 nm (Horowitz, ISSCC 2014): 4.6 per multiply-accumulate, 0.9 per accumulate; memory is left out.
Math     E = 4.6 MAC + 0.9 AC; AC = synaptic operations (one per spike and synapse) and the additions of neurons
The encoder's first convolution sees floats and runs once, because its input does not change; all others see spikes.
"""

from dataclasses import dataclass, fields
from typing import cast

import torch
from spikingjelly.activation_based.op_counter import estimate_simple_energy
from torch import Tensor, nn

from channel.bits import PRIOR_BITS, pack, step_position, unpack
from channel.transmission import transmit
from experiments.data.cifar100 import LabelledImages
from experiments.data.split import noise_block
from experiments.evaluation.parts import Spec
from models.codecs.snn_sc_ldpc import SNN_STEPS
from models.networks.codec import GRID, SPIKE_CHANNELS, Converter, Encoder, Membranes, Reconstructor
from models.networks.one_bit import BLOCKS
from models.profiles import PROFILES
from models.weights import load_cloud, load_edge


@dataclass(frozen=True)
class Operations:
    """Of one image: multiply-accumulates, accumulates (synaptic operations among them), and their energy in pJ."""

    mac: float = 0.0
    ac: float = 0.0
    synop: float = 0.0
    energy_pj: float = 0.0

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __mul__(self, times: float) -> "Operations":
        return Operations(*(getattr(self, field.name) * times for field in fields(self)))


Counts = dict[str, Operations]


class _Current(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.hidden = encoder.hidden

    def forward(self, f_BCHW: Tensor) -> Tensor:
        current: Tensor = self.hidden(f_BCHW)
        return current


class _Step(nn.Module):
    def __init__(self, network: Encoder | Reconstructor) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor, hidden: Tensor, output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out, after = self.network.step(x_BCHW, Membranes(hidden, output))
        return out, after.hidden_BCHW, after.output_BCHW


class OperationCounter:
    """Runs some images through each network of a profile by itself, counting."""

    def __init__(self, spec: Spec, images: LabelledImages, seed: int) -> None:
        profile, manifest = PROFILES[spec.profile], spec.manifest()
        self._edge = load_edge(profile, manifest, spec.weights)
        self._cloud = load_cloud(profile, manifest, spec.weights)
        self._x_BCHW = torch.from_numpy(images.images_NCHW).float() / 255
        self._blocks, self._seed = [noise_block(name) for name in images.ids()], seed
        self._steps = range(1, profile.max_steps + 1)
        # Not inference_mode, in which convolutions pass the counter unseen.
        with torch.no_grad():
            self._f_BCHW: Tensor = self._edge["edge"](self._x_BCHW)

    def shared(self) -> Counts:
        """What does not depend on the channel: ``backbone``, ``prior``, ``similarity``, ``head``."""
        count, prior_BK = len(self._blocks), torch.zeros(len(self._blocks), PRIOR_BITS)
        return {
            "backbone": self._count(self._edge["edge"], self._x_BCHW),
            "prior": self._count(self._edge["prior"], self._f_BCHW),
            "similarity": self._count(self._cloud["similarity"], self._f_BCHW, prior_BK, torch.zeros(count)),
            "head": self._count(self._cloud["head"], self._f_BCHW),
        }

    def spiking(self, ber: float) -> Counts:
        """``current``, ``encoder t``, ``reconstructor t``, ``converter t`` of the codec that meets the channel."""
        return self._spiking("", self._steps, ber)

    def noise_free(self) -> Counts:
        """The same of the codec behind LDPC, its bits decoded without error; nothing where it is not trained."""
        trained = "noise-free-encoder" in self._edge
        return self._spiking("noise-free-", range(1, SNN_STEPS + 1), 0.0) if trained else {}

    def one_bit(self) -> Counts:
        """``encoder`` and ``decoder t`` of the 1-bit CNN; nothing where it is not trained."""
        if "cnn-1bit-encoder" not in self._edge:
            return {}
        encoder, decoder = self._edge["cnn-1bit-encoder"], self._cloud["cnn-1bit-decoder"]
        found = {"encoder": self._count(encoder, self._f_BCHW)}
        with torch.no_grad():
            bits_BTCHW = encoder(self._f_BCHW).flatten(1).reshape(len(self._blocks), -1, SPIKE_CHANNELS, GRID, GRID)
        for t in range(1, BLOCKS + 1):
            found[f"decoder {t}"] = self._count(decoder, bits_BTCHW[:, :t])
        return found

    def _spiking(self, prefix: str, steps: range, ber: float) -> Counts:
        encoder = cast(Encoder, self._edge[f"{prefix}encoder"])
        reconstructor = cast(Reconstructor, self._cloud[f"{prefix}reconstructor"])
        converter = cast(Converter, self._cloud[f"{prefix}converter"])
        found, maps = {"current": self._count(_Current(encoder), self._f_BCHW)}, []
        with torch.no_grad():
            current = encoder.input_current(self._f_BCHW)
        sent = encoder.at_rest(len(current), current.device)
        rebuilt = reconstructor.at_rest(len(current), current.device)
        for t in steps:
            found[f"encoder {t}"] = self._count(_Step(encoder), current, sent.hidden_BCHW, sent.output_BCHW)
            with torch.no_grad():
                s_BCHW, sent = encoder.step(current, sent)
            s_BCHW = self._over_the_channel(s_BCHW, t, ber)
            inputs = (s_BCHW, rebuilt.hidden_BCHW, rebuilt.output_BCHW)
            found[f"reconstructor {t}"] = self._count(_Step(reconstructor), *inputs)
            with torch.no_grad():
                pair, rebuilt = reconstructor.step(s_BCHW, rebuilt)
            maps.append(pair)
            found[f"converter {t}"] = self._count(converter, torch.cat(maps, dim=1))
        return found

    def _over_the_channel(self, s_BCHW: Tensor, t: int, ber: float) -> Tensor:
        payload = pack(s_BCHW.flatten(1).to(torch.uint8).numpy())
        arrived = transmit(payload, ber, seed=self._seed, blocks=self._blocks, position=step_position(t))
        return torch.from_numpy(unpack(arrived.payload, len(s_BCHW))).float().reshape(s_BCHW.shape)

    def _count(self, network: nn.Module, *inputs: Tensor) -> Operations:
        report = estimate_simple_energy(network, inputs)
        counts = (report.counts["mac"], report.counts["ac"], report.counts["synop"], report.energy_compute_pj)
        return Operations(*(float(count) for count in counts)) * (1 / len(self._blocks))
