# SPDX-License-Identifier: Apache-2.0
"""What the tile is worth and what another precision changes: the figures of docs/decisions/0002.

::

    python -m experiments.evaluation.exactness CIFAR_FOLDER [PROFILE [DEVICE]]
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from experiments.data import cifar100
from experiments.data.cifar100 import LabelledImages
from experiments.data.split import noise_block
from models.inference import Inference, inference_device
from models.link import BlockTrace, InProcessLink, Request
from models.profiles import PROFILES
from models.receiver import Receiver
from models.systems import SYSTEMS
from models.transmitter import Transmitter
from models.weights import WEIGHTS_FOLDER, load_cloud, load_edge, read_manifest

_SYSTEM, _BER, _SEED, _IMAGES = "snn-sc-harq", 0.2, 0, 500


@dataclass(frozen=True)
class Compared:
    """A profile and the images that it sends, on one device."""

    profile: str
    images: LabelledImages
    device: torch.device

    def traces(self, *, tile: int, batch: int, bf16: bool = False) -> list[BlockTrace]:
        """Every image over the link in batches of ``batch``, images in the order of their noise blocks."""
        profile, manifest = PROFILES[self.profile], read_manifest(self.profile)
        inference = Inference(self.device, bf16, tile)
        transmitter = Transmitter(load_edge(profile, manifest, WEIGHTS_FOLDER), inference)
        link = InProcessLink(profile, transmitter, Receiver(load_cloud(profile, manifest, WEIGHTS_FOLDER), inference))
        blocks = [noise_block(name) for name in self.images.ids()]
        order, theta, found = np.argsort(blocks), manifest.thresholds[_SYSTEM], list[BlockTrace]()
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            request = Request(SYSTEMS[_SYSTEM], _BER, _SEED, tuple(blocks[row] for row in rows), theta)
            found += link.run(self.images.images_NCHW[rows], request)
        return found


def differences(some: Sequence[BlockTrace], others: Sequence[BlockTrace]) -> str:
    """How many images have other rounds or another label, how many equal logits, and the largest difference of one."""
    pairs = list(zip(some, others, strict=True))
    rounds = sum([entry.t for entry in one.rounds] != [entry.t for entry in other.rounds] for one, other in pairs)
    labels = sum(one.class_index != other.class_index for one, other in pairs)
    equal = sum(np.array_equal(one.logits_L, other.logits_L) for one, other in pairs)
    largest = max(float(np.abs(one.logits_L - other.logits_L).max()) for one, other in pairs)
    return f"other rounds {rounds}, other label {labels}, equal logits {equal}, largest difference {largest:.3g}"


def main(folder: Path, profile: str = "resnet18", device: str = "cpu") -> None:
    """Print the table of docs/decisions/0002. Raises DataSetMissingError, WeightsError."""
    torch.set_num_threads(1)
    compared = Compared(profile, cifar100.load(folder, "validation").by_id(_IMAGES), inference_device(device))
    traces = compared.traces
    whole = traces(tile=16, batch=64)
    rows = {
        "tile 16, batches of 1 against 64": (traces(tile=16, batch=1), whole),
        "tile 1, batches of 1 against 64": (traces(tile=1, batch=1), traces(tile=1, batch=64)),
        "bfloat16 against float32, tile 16": (traces(tile=16, batch=64, bf16=True), whole),
    }
    for name, pair in rows.items():
        sys.stdout.write(f"{name}: {differences(*pair)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
