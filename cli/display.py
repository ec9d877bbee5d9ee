# SPDX-License-Identifier: Apache-2.0
"""What a terminal shows of the nodes: what they wait for, where they are, what they log."""

from collections.abc import Mapping
from textwrap import shorten
from typing import Final, Self

from rich.console import Console
from rich.text import Text

from cli.log_lines import readable
from cli.options import EDGE_URL
from cli.processes import ROLES, Nodes

_COLOURS: Final = {"dashboard": "blue", "edge": "cyan", "channel": "magenta", "cloud": "green"}
_WIDTH: Final = max(map(len, ROLES)) + 1


class NodesDisplay:
    """A live line while nodes come up, on a terminal; all else is printed line by line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.status("starting") if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def states(self, states: Mapping[str, str]) -> None:
        """What each node waits for; the live line goes when all are ready."""
        if not self._live:
            return
        if all(state == "ready" for state in states.values()):
            self._live.stop()
            return
        self._live.update(Text("   ".join(f"{role}: {shorten(state, 28)}" for role, state in states.items())))

    def line(self, role: str, line: str) -> None:
        """One line of a node's log, after the node's name."""
        prefix = (f"{role:<{_WIDTH}}", _COLOURS.get(role, ""))
        self._console.print(Text.assemble(prefix, Text.from_ansi(readable(line))), soft_wrap=True)

    def addresses(self, nodes: Nodes) -> None:
        """Where each node is, and what to do with it."""
        for role, url in nodes.urls.items():
            name = (f"{role:<{_WIDTH}}", _COLOURS[role])
            self._console.print(Text.assemble(name, f"{url}   pid {nodes.pids[role]}"))
        edge = nodes.urls["edge"]
        option = "" if edge == EDGE_URL else f" --edge {edge}"
        self._console.print(f"{'try':<{_WIDTH}}spikelink classify IMAGE --ber 0.1 --seed 7{option}", soft_wrap=True)
