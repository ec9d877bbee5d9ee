# SPDX-License-Identifier: Apache-2.0
"""What the dashboard tells of sweeps: how far each is, and its points so far."""

from typing import Literal

from pydantic import Field

from service.wire.base import Wire
from service.wire.dashboard import Point


class SweepState(Wire):
    """One sweep of the store."""

    id: str = Field(description="a hash of all that decides its results")
    name: str | None = Field(None, description="as its specification has it")
    profile: str
    weights_sha256: str
    version: str = Field(description="SpikeLink's when it began")
    state: Literal["waiting", "running", "unfinished", "cancelled", "complete"] = Field(
        description="waiting: until the one before it here has ended; running: here, or it has grown lately"
    )
    message: str | None = Field(None, description="what it waits for, or why it ended early")
    units_done: int
    units_total: int = Field(description="as far as one can tell now: a point that stops early makes it smaller")
    images: int
    seeds: tuple[int, ...]


class SweepReport(SweepState):
    """The same with its figures; a point is there as soon as it has any."""

    points: tuple[Point, ...] = ()
