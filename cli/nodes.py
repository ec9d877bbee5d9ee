# SPDX-License-Identifier: Apache-2.0
"""``spikelink node ROLE``: one node in this process."""

import os
import signal
import sys
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import CommandError

if TYPE_CHECKING:
    from service.nodes.dashboard.desk import SweepDesk
    from service.settings import DashboardSettings


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
    until_stdin_ends: Annotated[
        bool, typer.Option("--until-stdin-ends", help="End when the standard input does: with whoever holds it open.")
    ] = False,
) -> None:
    """Run one node in this process; its settings are SPIKELINK_* variables."""
    if host is not None:
        os.environ["SPIKELINK_HOST"] = host
    if port is not None:
        os.environ["SPIKELINK_PORT"] = str(port)
    if until_stdin_ends:
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    try:
        from service.run import run_node
    except ImportError as error:
        raise CommandError(
            f"a node needs what is not installed here ({error}): pip install 'spikelink[node]'"
        ) from None
    try:
        run_node(role.value, make_desk)
    except Exception as error:
        # By name, because the channel's image has no models package to import the class from.
        if not isinstance(error, ValueError | OSError) and type(error).__name__ != "WeightsError":
            raise
        lines = str(error).splitlines() or [type(error).__name__]
        raise CommandError(f"the {role} node cannot start: {lines[0]}") from None


def _end_with_stdin() -> None:
    """Whoever started this process and is killed tells nobody, but its end of the pipe is closed."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def make_desk(settings: "DashboardSettings") -> "SweepDesk":
    """What runs the dashboard's sweeps, not yet connected to its store. Raises CommandError, ValueError."""
    try:
        from experiments.sweeps.desk import Desk
        from experiments.sweeps.means import Edge, Means
        from service.stores.sweeps import default_sweep_store, open_sweep_store
        from service.wire.deadlines import LONGER_S
    except ImportError as error:
        raise CommandError(
            f"the dashboard needs what is not installed here ({error}): pip install 'spikelink[node,cloud,models]'"
        ) from None
    edge = Edge(settings.edge, settings.bearer(), settings.deadline_s + LONGER_S)
    store = open_sweep_store(settings.sweep_store or default_sweep_store())
    return Desk(store, Means(edge, settings.data, settings.weights))
