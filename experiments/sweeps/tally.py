# SPDX-License-Identifier: Apache-2.0
"""From finished units to the figures of each grid point, in whatever order the units finish.

Units count in the order of their images, from the first on without a gap, and whether a point stops early is decided
there and nowhere else: order, interruptions and the number of workers cannot change a figure. The sums are of integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.sweeps.record import Point, Record, Unit
from experiments.sweeps.result import UnitResult
from experiments.sweeps.statistics import Interval, mean_interval, wilson_interval


@dataclass(frozen=True)
class Figures:
    """A grid point so far: accuracy in percent, bandwidth in bits, each with its 95 % interval over images."""

    point: Point
    images: int
    seeds: tuple[int, ...]
    accuracy: float
    accuracy_interval: Interval
    bandwidth_bits: float
    bandwidth_interval: Interval | None
    complete: bool
    stopped_early: bool


class PointTally:
    """One grid point: what is known of it, what counts, whether that is enough."""

    def __init__(self, record: Record, index: int) -> None:
        self._record, self._index, self._seeds = record, index, record.seeds_at(index)
        self._waiting: dict[tuple[int, int], UnitResult] = {}
        self._known: set[tuple[int, int]] = set()
        self._chunks = self._images = self._right = self._bits = self._squares = 0
        self.images_done = 0
        self._narrow = False

    @property
    def complete(self) -> bool:
        return self._narrow or self._chunks == len(self._record.chunks)

    @property
    def units_done(self) -> int:
        return len(self._known)

    @property
    def units_total(self) -> int:
        return len(self._known) if self.complete else len(self._record.chunks) * len(self._seeds)

    def wants(self, unit: Unit) -> bool:
        """Whether a unit is still needed, as far as one can tell now."""
        return not self.complete and (unit.chunk, unit.seed) not in self._known

    def add(self, unit: Unit, result: UnitResult) -> None:
        """Take up a unit, once."""
        key = (unit.chunk, unit.seed)
        if key in self._known:
            return
        self._known.add(key)
        self.images_done += self._record.chunk_images(unit.chunk)
        self._waiting[key] = result
        while not self.complete and all((self._chunks, seed) in self._waiting for seed in self._seeds):
            self._count([self._waiting.pop((self._chunks, seed)) for seed in self._seeds])

    def figures(self) -> Figures | None:
        """None before the first images count."""
        if not self._images:
            return None
        images, seeds = self._images, len(self._seeds)
        low, high = wilson_interval(self._right / seeds, images)
        total, squares = self._bits / seeds, self._squares / seeds**2
        return Figures(
            point=self._record.points[self._index],
            images=images,
            seeds=self._seeds,
            accuracy=100 * self._right / (images * seeds),
            accuracy_interval=(100 * low, 100 * high),
            bandwidth_bits=total / images,
            bandwidth_interval=mean_interval(total, squares, images),
            complete=self.complete,
            stopped_early=self._chunks < len(self._record.chunks) and self.complete,
        )

    def _count(self, by_seed: list[UnitResult]) -> None:
        """The next chunk, under all of its seeds."""
        bits_by_image = [sum(bits) for bits in zip(*(result.bits for result in by_seed), strict=True)]
        self._right += sum(sum(result.correct) for result in by_seed)
        self._bits += sum(bits_by_image)
        self._squares += sum(bits**2 for bits in bits_by_image)
        self._images += self._record.chunk_images(self._chunks)
        self._chunks += 1
        asked, figures = self._record.spec.stop_at_half_width, self.figures()
        if asked is not None and figures is not None:
            low, high = figures.accuracy_interval
            self._narrow = (high - low) / 2 <= asked


class SweepTally:
    """All points of a sweep."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.points = [PointTally(record, index) for index in range(len(record.points))]
        self._units = {unit.name: unit for unit in record.units()}

    @property
    def complete(self) -> bool:
        return all(point.complete for point in self.points)

    @property
    def units_done(self) -> int:
        return sum(point.units_done for point in self.points)

    @property
    def units_total(self) -> int:
        """As far as one can tell now: a point that stops early makes it smaller."""
        return sum(point.units_total for point in self.points)

    @property
    def images_done(self) -> int:
        """In all units that are done: an image counts once at each point and seed."""
        return sum(point.images_done for point in self.points)

    def add(self, name: str, result: UnitResult) -> Unit:
        """Take up a unit of this sweep -> which one it is."""
        unit = self._units[name]
        self.points[unit.point].add(unit, result)
        return unit

    def wanted(self) -> Iterator[Unit]:
        """The units still needed, one by one; what is added between two of them is taken into account."""
        return (unit for unit in self._units.values() if self.points[unit.point].wants(unit))

    def figures(self) -> list[Figures]:
        """Of the points that have any, in the order of the grid."""
        return [figures for point in self.points if (figures := point.figures())]
