# SPDX-License-Identifier: Apache-2.0
"""A catalogue: entries by their own names, each name once.

Shapes   none
Units    none
Math     none
Source   none
Differs  none
"""

from typing import Protocol, TypeVar


class Named(Protocol):
    """Whatever says its own name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def by_name(*entries: T) -> dict[str, T]:
    """The entries in their order. Raises ValueError where two have one name, or the later would hide the other."""
    found: dict[str, T] = {}
    for entry in entries:
        if entry.name in found:
            raise ValueError(f"two entries are called {entry.name}")
        found[entry.name] = entry
    return found
