# SPDX-License-Identifier: Apache-2.0
"""What measures: the command at hand, the machine, and the versions that its figures depend on."""

import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

#: A section of the results as JSON.
Record = dict[str, object]


def command() -> str:
    """The command at hand."""
    return shlex.join(["spikelink", *sys.argv[1:]])


def machine(device: str) -> Record:
    """The command at hand, and what it runs on."""
    return {
        "command": command(),
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
