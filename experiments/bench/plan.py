# SPDX-License-Identifier: Apache-2.0
"""What a run of the bench is asked for, and who hears how it goes."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from experiments.bench.channel_alone import StartChannel
from experiments.bench.nodes import NodesUnderTest
from experiments.sweeps.spec import Images


class Scenario(StrEnum):
    """What can be measured."""

    SINGLE = "single"
    CONCURRENCY = "concurrency"
    OPEN_LOOP = "open-loop"
    BATCHES = "batches"
    CHANNEL = "channel"
    SESSION = "session"
    SWEEP = "sweep"


#: Those whose throughput is a ratio to the in-process link's.
WITH_REFERENCE: Final = frozenset({Scenario.SINGLE, Scenario.CONCURRENCY, Scenario.OPEN_LOOP, Scenario.BATCHES})


@dataclass(frozen=True)
class Plan:
    """The levels, and how long each takes. Batches larger than the number of items are left out."""

    duration_s: float
    seed: int
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    connections: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    batch_connections: tuple[int, ...] = (1, 4)
    shares: tuple[float, ...] = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Options:
    """What is measured, where, and with which images (``count`` items of them) and weights.

    ``load_before`` is the system's load before the nodes were started.
    """

    scenarios: frozenset[Scenario]
    plan: Plan
    nodes: NodesUnderTest
    start_channel: StartChannel
    images: Images
    count: int
    data: Path
    profile: str
    weights: Path
    load_before: float
    note: str | None


class Listener(Protocol):
    """Hears how a run goes."""

    def begin(self, what: str, levels: int) -> None:
        """A part of so many levels."""

    def level(self, text: str) -> None:
        """The next of them is being measured."""

    def notice(self, text: str) -> None:
        """Something that a person should know, in one line."""
