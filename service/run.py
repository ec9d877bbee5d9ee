# SPDX-License-Identifier: Apache-2.0
"""The entry point of a node's process: read the settings, build the application, serve until told to stop."""

import importlib
import os
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from service.bounds import TimeBounds
from service.connections import bounded_protocol
from service.settings import (
    ROLES,
    ChannelSettings,
    CloudSettings,
    ComputeSettings,
    DashboardSettings,
    EdgeSettings,
    NodeSettings,
    load_settings,
)
from service.telemetry import adopt_loggers, configure_logs

if TYPE_CHECKING:
    from service.nodes.dashboard.desk import SweepDesk

MakeDesk = Callable[[DashboardSettings], "SweepDesk"]


class _Server(uvicorn.Server):
    """uvicorn, which also tells the application when it has been asked to end."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._node_app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._node_app.state.node.draining = True
        super().handle_exit(sig, frame)


def create_app(settings: NodeSettings, make_desk: MakeDesk) -> FastAPI:
    """The application of the role that the settings belong to. Each role is imported alone: channel has no torch.

    ``make_desk`` is called for the dashboard, whose sweeps this package does not run itself.
    """
    if isinstance(settings, EdgeSettings):
        from service.nodes.edge.app import create_edge

        return create_edge(settings)
    if isinstance(settings, CloudSettings):
        from service.nodes.cloud.app import create_cloud

        return create_cloud(settings)
    if isinstance(settings, DashboardSettings):
        from service.nodes.dashboard.app import create_dashboard

        return create_dashboard(settings, make_desk(settings))
    from service.nodes.channel.app import create_channel

    assert isinstance(settings, ChannelSettings)
    return create_channel(settings)


def run_node(role: str, make_desk: MakeDesk) -> None:
    """Serve a role until SIGINT or SIGTERM. Raises SettingsError, WeightsError or OSError before it serves."""
    settings = load_settings(ROLES[role], os.environ)
    configure_logs(settings.log_level, role)
    if isinstance(settings, ComputeSettings):
        # How often a waiting thread of OpenMP, which PyTorch brings, looks for work before it sleeps: otherwise for a
        # millisecond, on a core that the next node needs (docs/decisions/0017).
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        importlib.import_module("torch")  # it brings handlers of its own, and some modules warn when they are loaded
        # Of the process, which is ours:
        importlib.import_module("models.allocator").keep_freed_memory()
        importlib.import_module("models.threads").compute_with(1)  # the lanes of the passes have the cores
        adopt_loggers()
    app = create_app(settings, make_desk)
    config = uvicorn.Config(
        TimeBounds(app, settings.receive_s),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=bounded_protocol(settings.receive_s, app.state.node.refused),
        log_config=None,
        access_log=False,  # the guard has one, with the request's id
        proxy_headers=False,  # a caller's address is the connection's own, whatever it says
        ws="none",
        timeout_keep_alive=65,
        timeout_graceful_shutdown=settings.grace_s,
        server_header=False,
        date_header=False,
    )
    server = _Server(config, app)
    server.run()
    if not server.started:
        raise SystemExit(3)
