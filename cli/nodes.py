# SPDX-License-Identifier: Apache-2.0
"""``spikelink node ROLE``: one node in this process."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from cli.failures import CommandError


class Role(StrEnum):
    """The roles that a node can have."""

    EDGE = "edge"
    CHANNEL = "channel"
    CLOUD = "cloud"
    DASHBOARD = "dashboard"


def node(
    role: Annotated[Role, typer.Argument(help="What this node is.", show_default=False)],
    host: Annotated[str | None, typer.Option(help="Address to bind; SPIKELINK_HOST or loopback unless given.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to bind; SPIKELINK_PORT or the role's own unless given.")
    ] = None,
) -> None:
    """Run one node in this process; its settings are SPIKELINK_* variables."""
    if host is not None:
        os.environ["SPIKELINK_HOST"] = host
    if port is not None:
        os.environ["SPIKELINK_PORT"] = str(port)
    try:
        from service.run import run_node
    except ImportError as error:
        raise CommandError(
            f"a node needs what is not installed here ({error}): pip install 'spikelink[node]'"
        ) from None
    try:
        run_node(role.value)
    except Exception as error:
        # By name, because the channel's image has no models package to import the class from.
        if not isinstance(error, ValueError | OSError) and type(error).__name__ != "WeightsError":
            raise
        lines = str(error).splitlines() or [type(error).__name__]
        raise CommandError(f"the {role} node cannot start: {lines[0]}") from None
