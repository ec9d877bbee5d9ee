# SPDX-License-Identifier: Apache-2.0
"""A node of each role in this process, each alone, for what all of them must do alike; and the routes they have."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2
from nodes import NOWHERE, running_channel, running_cloud, running_dashboard, running_edge

Nodes = Mapping[str, httpx2.Client]
ROLES: Final = ("edge", "channel", "cloud", "dashboard")
#: A value that fits, for each parameter that stands in a path.
_FILLED: Final = {"session": "0" * 32, "name": "forward", "sweep": "0" * 64}


@contextmanager
def four_nodes(folder: Path, **settings: str) -> Iterator[Nodes]:
    """By role, with these settings each. None reaches another."""
    peers = dict.fromkeys(ROLES[:3], NOWHERE)
    with (
        running_edge(folder, NOWHERE, **settings) as (edge, _),
        running_channel(NOWHERE, **settings) as channel,
        running_cloud(folder, "memory://", **settings) as cloud,
        running_dashboard(**peers, **settings) as dashboard,
    ):
        yield {"edge": edge, "channel": channel, "cloud": cloud.http, "dashboard": dashboard}


def routes(node: httpx2.Client) -> list[tuple[str, str]]:
    """Method and path of all that a node's OpenAPI has, with a value in the place of each parameter."""
    paths = node.get("/openapi.json").json()["paths"]
    return [(method.upper(), path.format(**_FILLED)) for path, methods in paths.items() for method in methods]
