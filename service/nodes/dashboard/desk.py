# SPDX-License-Identifier: Apache-2.0
"""What the dashboard asks of whoever runs sweeps. That is ``experiments``, which this package must not import.

The command line, which may import both, brings them together (cli/nodes.py).
"""

from collections.abc import Mapping
from typing import Literal, Protocol

from pydantic import JsonValue

from service.wire import SweepReport


class SweepDesk(Protocol):
    """Sweeps of one store, some of them run from here. All methods but `close` raise `StoreUnavailableError`."""

    async def open(self) -> None:
        """Connect to the store where it is there; it may come later."""

    async def close(self) -> None:
        """Stop what runs here; what is finished is kept. Never fails."""

    async def ping(self) -> None:
        """Return if the store answers."""

    async def look(self) -> list[SweepReport]:
        """All sweeps, the oldest first, as they are now."""

    async def find(self, sweep: str) -> SweepReport | None:
        """One of them; None where there is none of that id."""

    async def start(self, spec: Mapping[str, JsonValue]) -> SweepReport:
        """Run a specification through the nodes, after those that run here. Raises SweepRefusedError."""

    async def resume(self, sweep: str) -> SweepReport | None:
        """Go on with one that is not complete; None where there is none of that id. Raises SweepRefusedError."""

    async def cancel(self, sweep: str) -> SweepReport | None:
        """Ask whoever runs it to stop; None where there is none of that id."""

    async def export(self, sweep: str, form: Literal["csv", "json"]) -> str | None:
        """Its figures as ``spikelink sweep export`` writes them; None where there is none of that id."""
