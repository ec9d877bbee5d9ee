# SPDX-License-Identifier: Apache-2.0
"""What the figures were made of, and how fast: enough to repeat them, and to see when they do not fit the weights."""

import os
import platform
import shlex
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

from experiments.evaluation.parts import Spec

#: A section of the results as JSON.
Record = dict[str, object]


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


def provenance(spec: Spec, passes: list[Passed], measured_on: Record) -> Record:
    """Weights, command, versions, machine and throughput; ``measured_on`` is a machine's record."""
    manifest = spec.manifest()
    return {
        "profile": spec.profile,
        "weights_sha256": manifest.weights_sha256,
        "thresholds": manifest.provenance.get("thresholds"),
        "stages": sorted(manifest.provenance),
        "passes": [{**vars(some), "bers": list(some.bers), "seeds": list(some.seeds)} for some in passes],
        "dtype": spec.dtype,
        **measured_on,
    }


def machine(device: str) -> Record:
    """The command at hand, and what it runs on."""
    return {
        "command": shlex.join(["spikelink", *sys.argv[1:]]),
        "device": device_name(device),
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": {
            "spikelink": _own_version(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def _own_version() -> str:
    """A GPU machine without a network runs the source as it lies there."""
    try:
        return version("spikelink")
    except PackageNotFoundError:
        return "not installed"


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def processor() -> str:
    """The processor's name where Linux tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
