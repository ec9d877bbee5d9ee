# SPDX-License-Identifier: Apache-2.0
"""What the feed is told of sweeps: how each is, the points of those that grow, and whether their store answers."""

from typing import Final

from service.nodes.dashboard.desk import SweepDesk
from service.nodes.dashboard.feed import Feed
from service.stores import StoreUnavailableError
from service.wire import SweepGone, SweepPoints, SweepReport, SweepStoreState

_STORE: Final = "store"


class SweepNews:
    """Points of a sweep that does not grow are no news: a page asks for them when it wants to show them."""

    def __init__(self, desk: SweepDesk, feed: Feed) -> None:
        self._desk, self._feed = desk, feed
        self._units_at_first: dict[str, int] | None = None
        self._shown: set[str] = set()

    async def look(self) -> None:
        """Look once and publish."""
        try:
            reports = await self._desk.look()
        except StoreUnavailableError as error:
            self._publish_store(SweepStoreState(available=False, message=str(error)))
            return
        if self._units_at_first is None:
            self._units_at_first = {report.id: report.units_done for report in reports}
        self._publish_store(SweepStoreState(available=True))
        for report in reports:
            if report.units_done < self._units_at_first.get(report.id, 0):
                self._units_at_first[report.id] = 0  # the store had lost it, and all that it has now is new
            self._publish(report, self._units_at_first.get(report.id, 0))
        self._take_away({report.id for report in reports})

    def _take_away(self, there: set[str]) -> None:
        """What the store no longer has: it may have come back empty."""
        for sweep in self._shown - there:
            self._feed.forget("sweep", sweep)
            self._feed.forget("points", sweep)
            self._feed.publish("gone", sweep, SweepGone(sweep=sweep).model_dump_json())
        for sweep in there - self._shown:
            self._feed.forget("gone", sweep)
        self._shown = there

    def _publish_store(self, state: SweepStoreState) -> None:
        self._feed.publish("sweeps", _STORE, state.model_dump_json())

    def _publish(self, report: SweepReport, units_at_first: int) -> None:
        self._feed.publish("sweep", report.id, report.without_points().model_dump_json())
        if report.units_done > units_at_first:
            points = SweepPoints(sweep=report.id, points=report.points)
            self._feed.publish("points", report.id, points.model_dump_json())
