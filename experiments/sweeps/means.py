# SPDX-License-Identifier: Apache-2.0
"""Where a sweep through the nodes finds what it needs. Loads no networks."""

from dataclasses import dataclass
from pathlib import Path

from client import TIMEOUT_S


@dataclass(frozen=True)
class Edge:
    """Where it is, what it asks for, and how many seconds an answer of its may take: more than its deadline."""

    url: str
    token: str | None
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True)
class Means:
    """The edge, CIFAR-100, and a folder of weights, the project's own unless given."""

    edge: Edge
    data: Path
    weights: Path | None
