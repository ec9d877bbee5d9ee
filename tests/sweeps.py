# SPDX-License-Identifier: Apache-2.0
"""What tests of sweeps share: records without weights, results that follow from the task alone, someone who listens."""

import asyncio
import random
from collections.abc import Callable
from hashlib import sha256

import numpy as np
from toy import toy_images

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.units import fingerprint
from experiments.sweeps.engine import Answer, EngineError, Task
from experiments.sweeps.events import UnitFinished
from experiments.sweeps.record import Point, Record
from experiments.sweeps.result import UnitResult
from experiments.sweeps.spec import Images, Series, Spec
from experiments.sweeps.tally import SweepTally

SYSTEM = "snn-sc-harq"


def sorted_images(count: int) -> LabelledImages:
    """Few labels, so that some answers are right; in the order of their ids."""
    images = LabelledImages(toy_images(count, seed=4), np.arange(count, dtype=np.int64) % 4)
    return images.select(np.argsort(images.ids()))


def made_record(
    images: LabelledImages, *, bers: tuple[float, ...] = (0.0, 0.1), seeds: tuple[int, ...] = (3, 4),
    unit_images: int = 4, half_width: float | None = None, name: str | None = None,
) -> Record:  # fmt: skip  # one line is easier to read
    """One system at one theta."""
    spec = Spec(
        name=name, bers=bers, seeds=seeds, series=(Series(system=SYSTEM),), images=Images(data_set="cifar100-test"),
        stop_at_half_width=half_width, unit_images=unit_images,
    )  # fmt: skip  # as above
    rows = np.arange(len(images))
    chunks = [images.select(rows[start : start + unit_images]) for start in range(0, len(images), unit_images)]
    return Record(
        version="0",
        spec=spec,
        points=tuple(Point(system=SYSTEM, theta=0.5, t=None, ber=ber) for ber in bers),
        weights={SYSTEM: "f" * 64},
        weights_sha256="e" * 64,
        arithmetic="made up",
        images=len(images),
        chunks=tuple(fingerprint(chunk) for chunk in chunks),
    )


def answer(name: str, ber: float, seed: int) -> Answer:
    """What the made-up engine says of an image, by its id: one of four classes, one of five bandwidths."""
    digest = sha256(f"{name} {ber} {seed}".encode()).digest()
    return Answer(digest[0] % 4, 2080 + 512 * (digest[1] % 5))


class MadeUpEngine:
    """Answers in an order of its own, drawn from ``seed``; ``before`` sees each task first, and may fail."""

    def __init__(self, parallel: int = 1, seed: int = 0, before: Callable[[int], None] = lambda number: None) -> None:
        self.parallel, self.computed = parallel, 0
        self._random, self._before = random.Random(seed), before

    async def compute(self, task: Task) -> UnitResult:
        for _ in range(self._random.randrange(3 * self.parallel)):
            await asyncio.sleep(0)
        self._before(self.computed)
        self.computed += 1
        ids = dict.fromkeys(task.images.ids())
        return task.result([answer(name, task.point.ber, task.seed) for name in ids])

    def close(self) -> None:
        """Nothing to let go of."""


def failing_at(number: int) -> Callable[[int], None]:
    """Fail at the n-th task."""

    def before(computed: int) -> None:
        if computed >= number:
            raise EngineError("gone")

    return before


class Heard:
    """Listens and remembers."""

    def __init__(self) -> None:
        self.events: list[UnitFinished] = []
        self.notices: list[str] = []
        self.begun = 0
        self.most_waiting = 0

    def begin(self, tally: SweepTally) -> None:
        self.begun += 1

    def unit_finished(self, event: UnitFinished) -> None:
        self.events.append(event)

    def waiting(self, results: int, most: int) -> None:
        assert results <= most
        self.most_waiting = max(self.most_waiting, results)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    @property
    def computed(self) -> int:
        return sum(event.computed for event in self.events)
