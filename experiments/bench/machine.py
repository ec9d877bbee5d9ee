# SPDX-License-Identifier: Apache-2.0
"""What a run was made on and with, and how the nodes compute."""

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import torch

from experiments.bench.items import BER, SYSTEM
from experiments.bench.plan import Options
from experiments.bench.report import Machine, Setting
from experiments.evaluation.machine import processor
from service.wire import NodeInfo


class OtherWeightsError(Exception):
    """The edge does not serve what the in-process link would be measured with; the message is one line."""


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(options: Options, device: str) -> Machine:
    """``device`` is cpu or cuda."""
    return Machine(
        processor=processor(),
        cores=cores(),
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        load_before=options.load_before,
        versions={
            "spikelink": version("spikelink"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": version("numpy"),
        },
        command=_command(options.note),
        began_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        note=options.note,
    )


def _command(note: str | None) -> str:
    """As it was typed, but for the note, which is told apart."""
    words = sys.argv[1:]
    if note in words:
        place = words.index(note)
        words = [*words[: place - 1], *words[place + 1 :]]
    return shlex.join(["spikelink", *words])


def check_weights(edge: NodeInfo, profile: str, weights_sha256: str) -> None:
    """Raises OtherWeightsError where the edge serves others than these."""
    served = {entry.name: entry.weights_sha256 for entry in edge.profiles if entry.available}
    if profile not in served:
        raise OtherWeightsError(f"the edge does not serve profile {profile}")
    if served[profile] != weights_sha256:
        found = (served[profile] or "none")[:12]
        raise OtherWeightsError(f"the edge serves other weights of {profile}, {found} and not {weights_sha256[:12]}")


def tile_of(edge: NodeInfo, profile: str) -> int:
    """The tile of a profile that the edge serves, in rows; 1 where the edge does not say it."""
    return next(entry.tile for entry in edge.profiles if entry.name == profile) or 1


def setting(options: Options, weights_sha256: str, edge: NodeInfo, store: str | None) -> Setting:
    """What is sent, and how the edge computes."""
    return Setting(
        profile=options.profile,
        weights_sha256=weights_sha256,
        system=SYSTEM,
        ber=BER,
        seed=options.plan.seed,
        images=options.count,
        source=options.images.data_set or "photographs",
        duration_s=options.plan.duration_s,
        own_nodes=bool(options.nodes.pids),
        node_device=edge.device or "",
        dtype=edge.dtype or "",
        tile=tile_of(edge, options.profile),
        torch_threads=edge.torch_threads or 1,
        store=store,
    )
