# SPDX-License-Identifier: Apache-2.0
"""What a specification needs before anything is computed: the weights that it is about, and its images."""

from dataclasses import dataclass
from pathlib import Path

from experiments.data.cifar100 import LabelledImages
from experiments.sweeps.images import load_images
from experiments.sweeps.record import Record
from experiments.sweeps.resolve import difference, profile_of, resolve
from experiments.sweeps.spec import Spec, SpecError
from models.weights import WEIGHTS_FOLDER, Manifest, read_manifest


@dataclass(frozen=True)
class Material:
    """A specification with both."""

    spec: Spec
    manifest: Manifest
    images: LabelledImages

    def record(self, arithmetic: str, begun: Record | None = None) -> Record:
        """The sweep that this comes to, which must be ``begun`` where that is given. Raises SpecError."""
        record = resolve(self.spec, self.manifest, self.images, arithmetic)
        if begun is not None and (reason := difference(begun, record)):
            raise SpecError(f"sweep {begun.id[:12]} cannot go on: {reason}")
        return record


def gather(spec: Spec, data: Path, weights: Path | None) -> Material:
    """``data`` is CIFAR-100, ``weights`` a folder, the project's own unless given.

    Raises SpecError, DataSetMissingError, WeightsError.
    """
    profile_of(spec)
    manifest = read_manifest(spec.profile, weights or WEIGHTS_FOLDER)
    return Material(spec, manifest, load_images(spec.images, data))
