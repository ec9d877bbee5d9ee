# SPDX-License-Identifier: Apache-2.0
"""Whether anybody still waits for a computation: told on the event loop, asked in the threads that compute."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from service.errors import PeerTimedOut
from service.hop import Deadline


@dataclass
class Turn:
    """One computation's. ``given_up`` is set when whoever had asked for it has left."""

    deadline: Deadline
    given_up: bool = False

    def refusal(self) -> PeerTimedOut | None:
        """Why there is nothing to compute any more, if so."""
        if self.given_up:
            return PeerTimedOut("whoever waited for the computation has left")
        if self.deadline.left_s <= 0:
            return PeerTimedOut("the deadline passed before the computation's turn came")
        return None

    def check(self) -> None:
        """Raises PeerTimedOut where nobody waits any more."""
        if refusal := self.refusal():
            raise refusal

    @contextmanager
    def taken(self) -> Iterator[None]:
        """What this thread computes in the block is this turn's."""
        token = _TAKEN.set(self)
        try:
            yield
        finally:
            _TAKEN.reset(token)


_TAKEN: ContextVar[Turn | None] = ContextVar("turn", default=None)


def taken_turn() -> Turn | None:
    """Whose turn it is in this thread; None where nobody's is."""
    return _TAKEN.get()
