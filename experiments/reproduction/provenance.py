# SPDX-License-Identifier: Apache-2.0
"""What the figures were made of, and how fast: enough to repeat them, and to see when they do not fit the weights."""

from dataclasses import dataclass

from experiments.evaluation.machine import Record
from experiments.evaluation.parts import Spec
from experiments.evaluation.units import parts_of


@dataclass(frozen=True)
class Passed:
    """A pass: how many images, which seeds and BERs, and its throughput.

    Images are counted once at each BER and seed; ``images_per_second`` is that of one process of one thread.
    """

    name: str
    split: str
    images: int
    bers: tuple[float, ...]
    seeds: tuple[int, ...]
    images_per_second: float


def provenance(spec: Spec, whole: Spec, passes: list[Passed], measured_on: Record) -> Record:
    """Weights, command, versions, machine and throughput; ``measured_on`` is a machine's record.

    ``whole`` is ``spec`` with the codecs that are not shipped, which are named by part.
    """
    manifest = spec.manifest()
    parts = whole.manifest().parts
    used = {part for some in passes for part in parts_of(some.name)} & parts.keys()
    return {
        "profile": spec.profile,
        "weights_sha256": manifest.weights_sha256,
        "not_shipped": {part: parts[part].sha256 for part in sorted(used - manifest.parts.keys())},
        "thresholds": manifest.provenance.get("thresholds"),
        "stages": sorted(manifest.provenance),
        "passes": [{**vars(some), "bers": list(some.bers), "seeds": list(some.seeds)} for some in passes],
        "dtype": spec.dtype,
        **measured_on,
    }
