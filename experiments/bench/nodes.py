# SPDX-License-Identifier: Apache-2.0
"""The nodes that are measured, and what is read of them besides their replies: processor time and metrics."""

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from client import Node

#: The bench itself, among the processes whose time is taken.
CLIENT: Final = "client"
_SECONDS: Final = "spikelink_compute_seconds"
_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class NodesUnderTest:
    """Where they are by role, the edge at least; ``pids`` and the rest where the bench has started them itself."""

    urls: Mapping[str, str]
    token: str | None = None
    pids: Mapping[str, int] = field(default_factory=dict)
    ready_s: Mapping[str, float] = field(default_factory=dict)
    store_url: str | None = None


@dataclass(frozen=True)
class Reading:
    """``cpu_s`` by process; ``computed`` by node, the sum and the number of its computations' times in seconds."""

    cpu_s: Mapping[str, float]
    computed: Mapping[str, tuple[float, float]]

    def cpu_ms_since(self, before: "Reading", items: int) -> dict[str, float]:
        """Processor time an item, by process."""
        return (
            {name: 1000 * (spent - before.cpu_s[name]) / items for name, spent in self.cpu_s.items()} if items else {}
        )

    def compute_ms_since(self, before: "Reading") -> dict[str, float]:
        """The mean time of a computation, by node."""
        means = {}
        for role, (seconds, count) in self.computed.items():
            earlier_s, earlier = before.computed[role]
            if count > earlier:
                means[role] = 1000 * (seconds - earlier_s) / (count - earlier)
        return means


class Meter:
    """Reads processor time and metrics of the nodes, of those that can be asked."""

    def __init__(self, nodes: NodesUnderTest) -> None:
        self._pids = nodes.pids
        self._stack = ExitStack()
        self._probes = {
            role: self._stack.enter_context(Node(url, role=role, token=nodes.token)) for role, url in nodes.urls.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self) -> Reading:
        """Raises what ``client`` raises where a node cannot be asked."""
        spent = {role: used_s for role, pid in self._pids.items() if (used_s := cpu_s(pid)) is not None}
        computed = {role: found for role, probe in self._probes.items() if (found := _computed(probe.metrics()))}
        return Reading({**spent, CLIENT: time.process_time()}, computed)


def cpu_s(pid: int) -> float | None:
    """Processor time of a process and its threads so far, user and system; None on systems that are not Linux."""
    if not _PROC.is_dir():
        return None
    # The second field, the command in brackets, may hold blanks.
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _computed(metrics: str) -> tuple[float, float] | None:
    """Sum and number of the computations' times; None where a node computes nothing."""
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith(_SECONDS))
    if f"{_SECONDS}_count" not in values:
        return None
    return float(values[f"{_SECONDS}_sum"]), float(values[f"{_SECONDS}_count"])
