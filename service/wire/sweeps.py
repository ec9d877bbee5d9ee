# SPDX-License-Identifier: Apache-2.0
"""What the dashboard tells of sweeps: how far each is, its points so far, and why one is refused."""

from typing import Literal

from pydantic import Field

from service.wire.base import Wire
from service.wire.dashboard import Point


class SweepRefusedError(ValueError):
    """A sweep that cannot be run; the message is one line and says why.

    ``at_fault`` is what would have to change: what was asked for, the line of those that wait, or the nodes.
    """

    def __init__(self, message: str, at_fault: Literal["request", "line", "nodes"] = "request") -> None:
        super().__init__(message)
        self.at_fault = at_fault


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
    images_per_s: float | None = Field(
        None, description="while it runs, over the last minute; an image counts once at each point and seed"
    )
    time_left_s: float | None = Field(None, description="at that speed; null where there is none to tell")
    images: int
    seeds: tuple[int, ...]


class SweepReport(SweepState):
    """The same with its figures; a point is there as soon as it has any."""

    points: tuple[Point, ...] = ()

    def without_points(self) -> SweepState:
        """What a list of many shows of it."""
        return SweepState.model_validate(self.model_dump(exclude={"points"}))


class SweepPoints(Wire):
    """All points of a sweep so far."""

    sweep: str = Field(description="its id")
    points: tuple[Point, ...]


class SweepGone(Wire):
    """The store no longer has it."""

    sweep: str = Field(description="its id")


class SweepStoreState(Wire):
    """Whether the store of sweeps answers."""

    available: bool
    message: str | None = Field(None, description="why it does not")
