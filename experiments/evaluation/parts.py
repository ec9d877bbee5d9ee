# SPDX-License-Identifier: Apache-2.0
"""A trained profile, loaded for measurements: which one, on which device, in which precision."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from models.inference import Inference, inference_device
from models.profiles import PROFILES, Profile
from models.receiver import Receiver
from models.transmitter import Transmitter
from models.weights import WEIGHTS_FOLDER, Manifest, load_cloud, load_edge, read_manifest

#: Rows at a time on a CPU, of many images in one thread: 128 take a tenth less time than 32 (docs/decisions/0013).
CPU_ROWS: Final = 128


@dataclass(frozen=True)
class Spec:
    """What a measuring process loads. ``device`` is cpu or cuda.

    ``torch`` is the version that computes; another than this process's names units that were measured elsewhere.
    """

    profile: str
    weights: Path = WEIGHTS_FOLDER
    device: str = "cpu"
    bf16: bool = False
    torch: str = field(default_factory=lambda: str(torch.__version__))

    @property
    def dtype(self) -> str:
        return "bfloat16" if self.bf16 else "float32"

    def manifest(self) -> Manifest:
        """Raises WeightsError where the profile is not trained."""
        return read_manifest(self.profile, self.weights)

    def inference(self) -> Inference:
        """What its networks run with. Raises ValueError where there is no such device."""
        tile = PROFILES[self.profile].tile
        return Inference(inference_device(self.device), self.bf16, tile, CPU_ROWS)

    def load(self) -> "Parts":
        """Both halves. Raises WeightsError, and ValueError where there is no such device."""
        profile, manifest, inference = PROFILES[self.profile], self.manifest(), self.inference()
        transmitter = Transmitter(load_edge(profile, manifest, self.weights), inference)
        receiver = Receiver(load_cloud(profile, manifest, self.weights), inference)
        return Parts(profile, transmitter, receiver, inference.device)


@dataclass(frozen=True)
class Parts:
    """The two halves of a trained profile."""

    profile: Profile
    transmitter: Transmitter
    receiver: Receiver
    device: torch.device
