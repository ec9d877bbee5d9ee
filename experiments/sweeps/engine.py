# SPDX-License-Identifier: Apache-2.0
"""What computes units, wherever it does so: the same task gives the same result on every engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.data.cifar100 import LabelledImages
from experiments.data.split import noise_block
from experiments.sweeps.record import Point
from experiments.sweeps.result import UnitResult
from models.inference import arithmetic_of
from models.profiles import PROFILES


def cpu_arithmetic(profile: str) -> str:
    """That of the in-process link, and of nodes on a CPU as they start by default."""
    return arithmetic_of("cpu", "float32", PROFILES[profile].tile)


class EngineError(Exception):
    """An engine that cannot go on; the message is one line. What is finished stays finished."""


@dataclass(frozen=True)
class Answer:
    """What became of one image: the class, and the payload bits on the forward link."""

    class_index: int
    bits: int


@dataclass(frozen=True)
class Task:
    """A unit with all that computing it needs. Images are in the order of their ids, hence of their noise blocks."""

    profile: str
    point: Point
    seed: int
    images: LabelledImages

    def distinct(self) -> tuple[NDArray[np.uint8], list[int]]:
        """The images [N, 3, 32, 32] and their blocks, without what looks the same as the one before it.

        It would meet the same noise and get the same answer, and a batch must not name a block twice.
        """
        ids = self.images.ids()
        rows = [row for row, name in enumerate(ids) if row == 0 or name != ids[row - 1]]
        return self.images.images_NCHW[rows], [noise_block(ids[row]) for row in rows]

    def result(self, answers: Sequence[Answer]) -> UnitResult:
        """From the answers to :meth:`distinct`."""
        ids = self.images.ids()
        place, given = -1, []
        for row, name in enumerate(ids):
            place += row == 0 or name != ids[row - 1]
            given.append(answers[place])
        pairs = zip(given, self.images.labels_N.tolist(), strict=True)
        return UnitResult(
            tuple(answer.class_index for answer in given),
            tuple(answer.class_index == label for answer, label in pairs),
            tuple(answer.bits for answer in given),
        )


class Engine(Protocol):
    """Computes units, several at a time."""

    @property
    def parallel(self) -> int:
        """How many units it can use at once."""

    async def compute(self, task: Task) -> UnitResult:
        """Raises EngineError."""

    def close(self) -> None:
        """Let go of processes and threads; what is being computed is given up."""
