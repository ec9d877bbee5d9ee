# SPDX-License-Identifier: Apache-2.0
"""A sweep as it lies in the store: what its specification came to, and from that the names of its units.

A unit's name is a hash of everything that its result depends on: the grid point with its theta, the noise seed, ids
and labels of the images in their order, the weights that the system uses, the arithmetic. So a sweep that is killed and
repeated takes up what was finished, sweeps share units, and another image or weight can never be mistaken for these.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from experiments.sweeps.spec import Spec, SpecError

#: To be raised when a unit holds something else for the same content.
UNIT_FORMAT: Final = 1


class Point(BaseModel):
    """A place of the grid. ``theta`` and ``t`` are None for systems without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    system: str
    theta: float | None
    t: int | None
    ber: float


@dataclass(frozen=True)
class Unit:
    """Some images at one grid point under one seed. ``point`` and ``chunk`` count within the sweep."""

    name: str
    point: int
    chunk: int
    seed: int


class Record(BaseModel):
    """A specification with all that was open in it decided: points, weights, images.

    ``chunks`` are the hashes of ids and labels of each ``unit_images`` images; ``weights`` names by system the files
    that it uses, ``weights_sha256`` all of the profile's; ``version`` is SpikeLink's when the sweep began.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    version: str
    spec: Spec
    points: tuple[Point, ...]
    weights: dict[str, str]
    weights_sha256: str
    arithmetic: str
    images: int
    chunks: tuple[str, ...]

    @cached_property
    def id(self) -> str:
        """Of what decides the results, so that the same specification is the same sweep, on any machine."""
        spec = self.spec
        decides = {
            "name": spec.name,
            "profile": spec.profile,
            "points": [point.model_dump() for point in self.points],
            "seeds": spec.seeds,
            "stop_at_half_width": spec.stop_at_half_width,
            "unit_images": spec.unit_images,
            "weights": self.weights,
            "arithmetic": self.arithmetic,
            "chunks": self.chunks,
            "unit_format": UNIT_FORMAT,
        }
        return _hash(decides)

    def seeds_at(self, point: int) -> tuple[int, ...]:
        """At BER 0 there is no noise, and the first seed stands for all."""
        return self.spec.seeds if self.points[point].ber > 0 else self.spec.seeds[:1]

    def chunk_rows(self, chunk: int) -> slice:
        """Which of the sweep's images a chunk holds."""
        start = chunk * self.spec.unit_images
        return slice(start, min(start + self.spec.unit_images, self.images))

    def chunk_images(self, chunk: int) -> int:
        rows = self.chunk_rows(chunk)
        return int(rows.stop - rows.start)

    def units(self) -> Iterator[Unit]:
        """All of the grid, chunk by chunk, so that every point grows at the same pace."""
        for chunk in range(len(self.chunks)):
            for point in range(len(self.points)):
                for seed in self.seeds_at(point):
                    yield Unit(self._unit_name(point, chunk, seed), point, chunk, seed)

    def _unit_name(self, point: int, chunk: int, seed: int) -> str:
        place = self.points[point]
        content = {
            "format": UNIT_FORMAT,
            "profile": self.spec.profile,
            "point": place.model_dump(),
            "seed": seed,
            "images": self.chunks[chunk],
            "weights": self.weights[place.system],
            "arithmetic": self.arithmetic,
        }
        return _hash(content)

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_none=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes, sweep: str) -> "Record":
        """The record that a store keeps under an id. Raises SpecError where another version wrote it."""
        try:
            record = cls.model_validate_json(content)
        except ValidationError:
            record = None
        # Where it can be read and its id is another, this version would look for units of other names.
        if record is None or record.id != sweep:
            raise SpecError(f"sweep {sweep[:12]} is of another version of SpikeLink")
        return record


def _hash(content: object) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
