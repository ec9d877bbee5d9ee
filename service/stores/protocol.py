# SPDX-License-Identifier: Apache-2.0
"""What the cloud asks of a session store: load a record, and advance it by compare-and-set."""

from dataclasses import dataclass
from typing import Protocol


class StoreUnavailableError(Exception):
    """The store cannot be reached, or refuses to work (disk full, locked, out of memory, closed)."""


@dataclass(frozen=True)
class Stored:
    """A session's record as it lies in the store; `version` changes with every write, and only grows."""

    value: bytes
    version: int


@dataclass(frozen=True)
class Swap:
    """What became of a write; true in a condition when it was done.

    `durable` says whether it outlives this process, `version` what the record carries now (0 when the race was lost).
    """

    done: bool
    durable: bool = False
    version: int = 0

    def __bool__(self) -> bool:
        return self.done


class SessionStore(Protocol):
    """Sessions by key. Every method but `close` raises `StoreUnavailableError` and nothing else of the back end's."""

    @property
    def name(self) -> str:
        """The name in the catalogue."""

    @property
    def durable(self) -> bool:
        """Whether what is written now outlives this process."""

    async def open(self) -> None:
        """Connect, or create what is missing. May be called again to learn whether the store is back."""

    async def load(self, key: str) -> Stored | None:
        """The live record, or None when it is unknown or expired."""

    async def swap(
        self, key: str, value: bytes, *, expected: int | None, ttl_s: float, version: int | None = None
    ) -> Swap:
        """Write `value` if the record still has the version `expected` (None: if there is none, or it has expired).

        The time to live starts anew at `ttl_s` seconds. The version becomes `expected` + 1, or 1 for a new record,
        unless the caller names a higher `version` (as `ResilientStore` does). A lost race changes nothing.
        """

    async def count(self) -> int:
        """Live sessions; cheap enough to ask at every new one."""

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Let go of connections and files. Never fails; the store is of no use afterwards."""


def next_version(expected: int | None, version: int | None) -> int:
    """The version that a swap stores."""
    return version if version is not None else (expected or 0) + 1
