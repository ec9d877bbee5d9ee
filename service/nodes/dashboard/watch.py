# SPDX-License-Identifier: Apache-2.0
"""Looks at nodes, links and sweeps about once a second while a page is open, and tells the feed what has changed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from service.errors import PeerFailed, PeerTimedOut
from service.nodes.dashboard.desk import SweepDesk
from service.nodes.dashboard.feed import Feed
from service.nodes.dashboard.peers import PEERS, Peers
from service.nodes.dashboard.sweep_news import SweepNews
from service.wire import LinkCounters, LinkReport, NodeReport

_PERIOD_S: Final = 1.0
#: Two looks that are closer than this are one: a rate between them would be noise.
_LEAST_S: Final = 0.5
_log = logging.getLogger("spikelink")


@dataclass(frozen=True)
class _Sample:
    """A link's counters at a time, the rate until then, and the counters when its settings were first seen."""

    at_s: float
    link: LinkCounters
    bits_per_s: float
    first: LinkCounters


class LinkRates:
    """From counters that only grow to bits a second, and to flips since the settings last changed."""

    def __init__(self) -> None:
        self._last: dict[str, _Sample] = {}

    def report(self, link: LinkCounters, at_s: float) -> LinkReport:
        """A link at a time in monotonic seconds, compared with the last look at it."""
        last = self._last.get(link.name)
        if last is not None and link.bits < last.link.bits:
            last = None  # the channel has been started again
        first = link if last is None or last.first.revision != link.revision else last.first
        if last is None:
            sample = _Sample(at_s, link, 0.0, first)
        elif at_s - last.at_s < _LEAST_S:
            sample = replace(last, first=first)
        else:
            sample = _Sample(at_s, link, (link.bits - last.link.bits) / (at_s - last.at_s), first)
        self._last[link.name] = sample
        return LinkReport(
            **link.model_dump(),
            bits_per_s=sample.bits_per_s,
            observed_bits=link.bits - first.bits,
            observed_flipped_bits=link.flipped_bits - first.flipped_bits,
        )


class Watch:
    """The tasks that look. Idle while nobody listens."""

    def __init__(self, peers: Peers, feed: Feed, own: Callable[[], Awaitable[NodeReport]], desk: SweepDesk) -> None:
        self._peers, self._feed, self._own = peers, feed, own
        self._rates, self._sweeps = LinkRates(), SweepNews(desk, feed)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        # Each on its own: a node that does not answer keeps nobody waiting for a link or a sweep.
        self._tasks = [asyncio.create_task(self._run(look)) for look in (self.nodes, self.links, self._sweeps.look)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def nodes(self) -> list[NodeReport]:
        """All nodes, the dashboard included, as they are now."""
        reports = await asyncio.gather(*(self._peers.report(role) for role in PEERS), self._own())
        for report in reports:
            self._feed.publish("node", report.role, report.model_dump_json())
        return reports

    async def links(self) -> None:
        """Publish what the channel says of its links; nothing where it says nothing."""
        try:
            links = await self._peers.links()
        except (PeerFailed, PeerTimedOut):
            return
        for link in links:
            self._feed.publish("link", link.name, self._rates.report(link, time.monotonic()).model_dump_json())

    async def _run(self, look: Callable[[], Awaitable[object]]) -> None:
        while True:
            if self._feed.listeners:
                try:
                    await look()
                except Exception:  # the page must not stand still for good because of one answer
                    _log.exception("looking failed")
            await asyncio.sleep(_PERIOD_S)
