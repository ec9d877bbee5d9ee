# SPDX-License-Identifier: Apache-2.0
"""The three nodes that the dashboard speaks to, and how they are."""

import asyncio
from collections.abc import Mapping
from typing import Final

from pydantic import TypeAdapter, ValidationError

from service.errors import PeerFailed, PeerTimedOut
from service.hop import Call, Deadline, Hop
from service.settings import DashboardSettings
from service.wire import LinkCounters, NodeInfo, NodeReport, Readiness

PEERS: Final = ("edge", "channel", "cloud")

#: A node's readiness looks at the next node for up to two seconds.
_PATIENCE_S: Final = 4.0
_LINKS: Final[TypeAdapter[list[LinkCounters]]] = TypeAdapter(list[LinkCounters])


class Peers:
    """A hop to each of the other nodes. The channel gets the admin token, because the page changes its links."""

    def __init__(self, settings: DashboardSettings) -> None:
        token = settings.bearer()
        self.urls: Mapping[str, str] = {role: getattr(settings, role) for role in PEERS}
        tokens = {"channel": settings.admin_bearer() or token}
        self.hops = {role: Hop(url, tokens.get(role, token)) for role, url in self.urls.items()}

    async def open(self) -> None:
        for hop in self.hops.values():
            await hop.open()

    async def close(self) -> None:
        for hop in self.hops.values():
            await hop.close()

    async def report(self, role: str) -> NodeReport:
        """How a node is; never raises."""
        url = self.urls[role]
        try:
            ready, info = await asyncio.gather(self._get(role, "/readyz"), self._get(role, "/v1/info"))
            readiness, details = Readiness.model_validate_json(ready), NodeInfo.model_validate_json(info)
        except (PeerFailed, PeerTimedOut) as error:
            return NodeReport(role=role, url=url, health="down", failure=error.detail)
        except ValidationError:
            return NodeReport(role=role, url=url, health="down", failure=f"what answers at {url} is no node of ours")
        if details.role != role:
            failure = f"what answers at {url} is the {details.role} node"
            return NodeReport(role=role, url=url, health="down", failure=failure, info=details)
        return node_report(role, url, readiness, details)

    async def links(self) -> list[LinkCounters]:
        """The channel's links with their counters. Raises PeerFailed and PeerTimedOut."""
        try:
            return _LINKS.validate_json(await self._get("channel", "/v1/links"))
        except ValidationError:
            raise PeerFailed(f"what {self.urls['channel']} answers are no links") from None

    async def _get(self, role: str, path: str) -> bytes:
        reply = await self.hops[role].ask("GET", Call(path, b"", {}, "dashboard"), Deadline.after(_PATIENCE_S))
        return reply.body


def node_report(role: str, url: str, readiness: Readiness, info: NodeInfo) -> NodeReport:
    """The report on a node that answered."""
    wrong = "; ".join(f"{part}: {state}" for part, state in readiness.checks.items() if state != "ok")
    return NodeReport(
        role=role,
        url=url,
        health="ready" if readiness.ready else "not ready",
        failure=wrong or None,
        readiness=readiness,
        info=info,
    )
