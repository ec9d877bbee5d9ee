# SPDX-License-Identifier: Apache-2.0
"""A sweep in the form in which the dashboard tells of it. Loads no networks."""

from typing import Literal

from client import Point, SweepReport, series_name
from experiments.sweeps.pace import Speed
from experiments.sweeps.tally import Figures, SweepTally

State = Literal["waiting", "running", "unfinished", "cancelled", "complete"]


def report_of(
    tally: SweepTally, points: tuple[Point, ...], state: State, message: str | None, speed: Speed | None
) -> SweepReport:
    """``points`` are the tally's own (:func:`points_of`), which costs more than to keep them."""
    record = tally.record
    return SweepReport(
        id=record.id,
        name=record.spec.name,
        profile=record.spec.profile,
        weights_sha256=record.weights_sha256,
        version=record.version,
        state=state,
        message=message,
        units_done=tally.units_done,
        units_total=tally.units_total,
        images_per_s=speed and speed.images_per_s,
        time_left_s=speed and speed.left_s,
        images=record.images,
        seeds=record.spec.seeds,
        points=points,
    )


def points_of(tally: SweepTally) -> tuple[Point, ...]:
    """Of the grid points that have figures, in the order of the grid."""
    return tuple(map(_point, tally.figures()))


def _point(figures: Figures) -> Point:
    place = figures.point
    low, high = figures.bandwidth_interval or (None, None)
    return Point(
        series=series_name(place.system, place.theta, place.t),
        system=place.system,
        theta=place.theta,
        t=place.t,
        ber=place.ber,
        images=figures.images,
        accuracy=figures.accuracy,
        accuracy_low=figures.accuracy_interval[0],
        accuracy_high=figures.accuracy_interval[1],
        bandwidth_bits=figures.bandwidth_bits,
        bandwidth_low=low,
        bandwidth_high=high,
    )
