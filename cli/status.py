# SPDX-License-Identifier: Apache-2.0
"""``spikelink status``: how the three nodes are, and a non-zero exit code where one cannot serve."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from cli.failures import CommandError
from cli.options import (
    CHANNEL_URL,
    CLOUD_URL,
    EDGE_URL,
    AsJson,
    ChannelUrl,
    CloudUrl,
    EdgeUrl,
    Timeout,
    TokenFile,
    read_token,
)

if TYPE_CHECKING:
    from rich.table import Table

    from client import Node
    from service.wire import NodeInfo, Readiness


@dataclass(frozen=True)
class NodeStatus:
    """What one node answered; ``failure`` is the line that says why it did not."""

    role: str
    url: str
    ready: "Readiness | None" = None
    info: "NodeInfo | None" = None
    failure: str | None = None

    @property
    def health(self) -> str:
        if self.ready is None:
            return "down"
        return "ready" if self.ready.ready else "not ready"

    @property
    def complaint(self) -> str | None:
        """One line where the node cannot serve."""
        if self.ready is None:
            return self.failure
        wrong = "; ".join(f"{part}: {state}" for part, state in self.ready.checks.items() if state != "ok")
        return (
            None if self.ready.ready else f"{self.role} at {self.url} is not ready ({wrong or 'it does not say why'})"
        )


def status(
    edge: EdgeUrl = EDGE_URL,
    channel: ChannelUrl = CHANNEL_URL,
    cloud: CloudUrl = CLOUD_URL,
    token_file: TokenFile = None,
    timeout_s: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Show the three nodes: health, version, device, profile, store."""
    from client import Node

    token, nodes = read_token(token_file), []
    for role, url in (("edge", edge), ("channel", channel), ("cloud", cloud)):
        with Node(url, role=role, token=token, timeout_s=timeout_s) as node:
            nodes.append(_ask(node))
    if as_json:
        typer.echo(json.dumps([_as_json(node) for node in nodes], indent=2))
    else:
        from cli.terminal import output

        output().print(_table(nodes))
    failed = [node for node in nodes if node.complaint]
    if failed:
        raise CommandError(_complaint(failed))


def _complaint(failed: list[NodeStatus]) -> str:
    if len(failed) == 1:
        return failed[0].complaint or ""
    each = ", ".join(f"the {node.role} is {node.health}" for node in failed)
    return f"{each}: start them with 'spikelink up', give their URLs, or look at their logs"


def _ask(node: "Node") -> NodeStatus:
    from client import SpikeLinkError

    try:
        return NodeStatus(node.role, node.url, node.ready(), node.info())
    except SpikeLinkError as error:
        return NodeStatus(node.role, node.url, failure=str(error))


def _as_json(node: NodeStatus) -> dict[str, object]:
    return {
        "role": node.role,
        "url": node.url,
        "health": node.health,
        "ready": node.ready and node.ready.model_dump(),
        "info": node.info and node.info.model_dump(),
        "failure": node.complaint,
    }


def _table(nodes: list[NodeStatus]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("node", "at", "health", "version", "device", "profile", "store", "durable"):
        table.add_column(heading, no_wrap=heading != "profile")
    colours = {"ready": "green", "not ready": "yellow", "down": "bold red"}
    for node in nodes:
        table.add_row(
            node.role,
            node.url.removeprefix("http://"),
            Text(node.health, colours[node.health]),
            *_details(node.info, node.ready),
        )
    return table


def _details(info: "NodeInfo | None", ready: "Readiness | None") -> tuple[str, ...]:
    if info is None:
        return ("",) * 5
    profiles = " ".join(profile.name for profile in info.profiles if profile.available)
    durable = {None: "", True: "yes", False: "no"}[ready.durable if ready else info.durable]
    return info.version, info.device or "", profiles, info.store or "", durable
