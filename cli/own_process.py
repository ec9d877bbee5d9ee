# SPDX-License-Identifier: Apache-2.0
"""What a command sets for its whole process: where it was started for that command alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_OWN: Final = ContextVar("the process is this command's", default=False)


@contextmanager
def owned(own: bool) -> Iterator[None]:
    """Says so of the process within the block."""
    before = _OWN.set(own)
    try:
        yield
    finally:
        _OWN.reset(before)


def keep_freed_memory() -> None:
    """Before networks are run in this process (docs/decisions/0015)."""
    from models.allocator import keep_freed_memory

    if _OWN.get():
        keep_freed_memory()
