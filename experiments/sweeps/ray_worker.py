# SPDX-License-Identifier: Apache-2.0
"""What a Ray actor runs: the in-process engine with its one thread, once this machine is known to give its numbers."""

import os
import socket
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from experiments.data.cifar100 import LabelledImages
from experiments.sweeps.engine import EngineError, Task
from experiments.sweeps.link_engine import LinkEngine
from experiments.sweeps.record import Point
from experiments.sweeps.result import UnitResult
from models.allocator import keep_freed_memory
from models.weights import WEIGHTS_FOLDER, WeightsError, read_manifest


@dataclass(frozen=True)
class Terms:
    """What a sweep demands of each worker. ``weights`` is a folder there, the project's own unless given."""

    profile: str
    weights: Path | None
    weights_sha256: str
    version: str

    @property
    def folder(self) -> Path:
        return self.weights or WEIGHTS_FOLDER


class RayWorker:
    """Loads the networks with its first unit and keeps them, and the features of the images that it had last."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._link = LinkEngine(terms.profile, terms.folder, 1)

    async def check(self) -> None:
        """Raises EngineError where this machine has another SpikeLink or other weights, or asks nobody for a token."""
        terms, here = self._terms, f"the Ray node {socket.gethostname()}"
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
            raise EngineError(f"{here} runs without token authentication: start it with RAY_AUTH_MODE=token")
        if (found := version("spikelink")) != terms.version:
            raise EngineError(f"{here} has SpikeLink {found} and not {terms.version}")
        try:
            sha256 = read_manifest(terms.profile, terms.folder).weights_sha256
        except WeightsError as error:
            raise EngineError(f"{here}: {error}") from None
        if sha256 != terms.weights_sha256:
            raise EngineError(
                f"{here} has other weights of {terms.profile}, {sha256[:12]} and not {terms.weights_sha256[:12]}"
            )

    async def compute(self, point: Point, seed: int, images: LabelledImages) -> UnitResult:
        """Raises EngineError."""
        keep_freed_memory()  # here, where the process is an actor's
        return await self._link.compute(Task(self._terms.profile, point, seed, images))
