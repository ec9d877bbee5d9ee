# SPDX-License-Identifier: Apache-2.0
"""``spikelink up``: the nodes and the page as child processes on loopback, until Ctrl-C."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.options import CHANNEL_PORT, CLOUD_PORT, DASHBOARD_PORT, EDGE_PORT

EdgePort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the edge; 0 takes a free one.")]
ChannelPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the channel; 0 takes a free one.")]
CloudPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the cloud; 0 takes a free one.")]
DashboardPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")]


class LogLevel(StrEnum):
    """The least severe level that a node logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def up(  # typer makes one option of each parameter
    edge_port: EdgePort = EDGE_PORT,
    channel_port: ChannelPort = CHANNEL_PORT,
    cloud_port: CloudPort = CLOUD_PORT,
    dashboard_port: DashboardPort = DASHBOARD_PORT,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="SPIKELINK_LOG_LEVEL", help="Least severe level that the nodes log.")
    ] = LogLevel.INFO,
    deadline_s: Annotated[float, typer.Option(min=1, help="Longest wait until all nodes are ready.")] = 60.0,
) -> None:
    """Start edge, channel, cloud and the page on loopback; Ctrl-C stops them."""
    from cli.display import NodesDisplay
    from cli.processes import Launch, Ports, running_nodes
    from cli.signals import until_signalled
    from cli.terminal import output

    console = output()
    ports = Ports(edge_port, channel_port, cloud_port, dashboard_port)
    with until_signalled(), NodesDisplay(console) as display:
        launch = Launch(
            environment={"": {"SPIKELINK_LOG_LEVEL": log_level.value}},
            deadline_s=deadline_s,
            on_line=display.line,
            on_state=display.states,
        )
        with running_nodes(ports, launch) as nodes:
            display.addresses(nodes)
            console.print("Ctrl-C stops all four")
            nodes.watch()
    console.print("stopped")
