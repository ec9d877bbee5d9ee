# SPDX-License-Identifier: Apache-2.0
"""Units of measurement on disk: some images at one BER and seed, named by what they were made of, finished or absent.

A unit's name is a hash of what its content depends on, so a run that is killed and repeated takes up what was finished,
and other weights, images, BERs, seeds, devices or versions of PyTorch can never be mistaken for these. What is part of
the code is not in it: who changes what a pass computes, a tile, or the pinned SpikingJelly or Sionna raises VERSION.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.outcomes import Columns
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import sender_of
from experiments.whole_files import whole_file
from models.parts import cloud_parts, edge_parts
from models.profiles import PROFILES

#: To be raised when a pass computes something else from the same weights and images.
VERSION: Final = 1
#: Images a unit: some ten seconds of work, which is what an interruption can cost.
UNIT_IMAGES: Final = 250
_SECONDS: Final = "seconds"


@dataclass(frozen=True)
class Unit:
    """What a unit is made of. ``images`` is the hash of ids and labels, in order."""

    pass_name: str
    ber: float
    seed: int
    images: str
    setting: str

    @property
    def name(self) -> str:
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def parts_of(pass_name: str) -> list[str]:
    """The parts of the weights that a pass computes with, where a profile has them."""
    sender = sender_of(pass_name)
    return sorted({*edge_parts(sender), *cloud_parts(sender)})


def setting_of(spec: Spec, pass_name: str) -> str:
    """All else that a unit's content depends on: the weights of the pass, HARQ parameters, precision, device, torch."""
    manifest, profile = spec.manifest(), PROFILES[spec.profile]
    weights = [f"{part} {manifest.parts[part].sha256}" for part in parts_of(pass_name) if part in manifest.parts]
    # On CUDA float32 was TF32 once.
    device = "cuda, whole float32" if spec.device == "cuda" else spec.device
    facts = (VERSION, spec.profile, *weights, profile.t0, profile.max_steps, spec.dtype, device, spec.torch)
    return " ".join(str(fact) for fact in facts)


def fingerprint(images: LabelledImages) -> str:
    """The hash of ids and labels."""
    lines = (f"{name} {label}\n" for name, label in zip(images.ids(), images.labels_N, strict=True))
    return sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class UnitStore:
    """A folder of finished units. Another machine's is ``read_only``: what it lacks must not be measured here."""

    folder: Path
    read_only: bool = False

    def path(self, unit: Unit) -> Path:
        return self.folder / unit.pass_name / f"{unit.name}.npz"

    def has(self, unit: Unit) -> bool:
        return self.path(unit).is_file()

    def load(self, unit: Unit) -> Columns:
        with np.load(self.path(unit), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if name != _SECONDS}

    def seconds(self, unit: Unit) -> float:
        """What it took to compute, with the unit's share of what is done once for several."""
        with np.load(self.path(unit), allow_pickle=False) as arrays:
            return float(arrays[_SECONDS])

    def save(self, unit: Unit, columns: Columns, seconds: float) -> None:
        """Whole or not at all: the file has its name only when it is finished."""
        arrays: dict[str, Any] = {**columns, _SECONDS: np.float64(seconds)}
        with whole_file(self.path(unit)) as path, path.open("wb") as file:
            np.savez_compressed(file, **arrays)
