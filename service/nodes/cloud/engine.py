# SPDX-License-Identifier: Apache-2.0
"""The cloud's computations: decide a frame on top of cached or rebuilt state, classify on request.

The state of a session (membranes and maps) is a cache, bounded in bytes; where it is missing it is rebuilt from the
record's received bits, and the result is the same.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from channel.bits import Bits, pack
from models.decision import Answer, StopCondition, answer_frame, close
from models.frames import Frame
from models.receiver import Floats, Receiver, ReceiverState
from models.systems import DEFAULT_SYSTEM, SYSTEMS, first_frame, frame_of_round
from service.models_on_node import ServedProfile
from service.nodes.cloud.record import SessionRecord

#: The rows that a round was combined for, their bits, and the p that these met.
ReceivedRound = tuple[tuple[int, ...], bytes, float]


@dataclass(frozen=True)
class CachedState:
    """The state of some rows of a session, and the received bits that it was made of.

    The bits are compared, not the rounds' numbers: where a race between replicas is lost, or an outage of the store
    dropped a branch, the record holds the same rounds with other bits.
    """

    rows: tuple[int, ...]
    received: tuple[ReceivedRound, ...]
    state: ReceiverState


class StateCache:
    """Least recently used first out, bounded in bytes. Several computations may use it at a time.

    What nobody asked for during ``ttl_s``, a session's time to live, goes with the next write: its caller left, or
    another replica went on with it. ``clock`` is in seconds.
    """

    def __init__(self, limit_bytes: int, ttl_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_bytes, self._size_bytes = limit_bytes, 0
        self._ttl_s, self._clock = ttl_s, clock
        self._entries: OrderedDict[str, tuple[float, CachedState]] = OrderedDict()  # with the time of its last use
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def get(self, session: str) -> CachedState | None:
        with self._lock:
            if session not in self._entries:
                return None
            _, entry = self._entries.pop(session)
            self._entries[session] = (self._clock(), entry)
            return entry

    def put(self, session: str, entry: CachedState | None) -> None:
        """Replace a session's state; None drops it."""
        with self._lock:
            if session in self._entries:
                self._drop(session)
            if entry is not None and entry.rows:
                self._entries[session] = (self._clock(), entry)
                self._size_bytes += entry.state.size_bytes
            idle_since_s = self._clock() - self._ttl_s
            while self._entries:
                oldest, (used_s, _) = next(iter(self._entries.items()))
                if used_s > idle_since_s and self._size_bytes <= self._limit_bytes:
                    return
                self._drop(oldest)

    def _drop(self, session: str) -> None:
        _, dropped = self._entries.pop(session)
        self._size_bytes -= dropped.state.size_bytes


class Engine:
    """One profile's receiver. Sessions may be computed at the same time; of one session one frame at a time."""

    def __init__(self, served: ServedProfile, receiver: Receiver, cache: StateCache) -> None:
        self.served, self.profile = served, served.profile
        self._cache, self._receiver = cache, receiver
        self.weights = bytes.fromhex(served.manifest.weights_sha256)

    def decide(
        self, session: str, record: SessionRecord, rows: tuple[int, ...], bits_BN: Bits, crossover: float
    ) -> list[Answer]:
        """Decide the record's next round for open rows, all of which have the same history."""
        frame = self._frame(record, record.next_round)
        stop = StopCondition(SYSTEMS[record.system], record.theta, self.profile.harq)
        state = self._state(session, record, rows) if frame.round > 1 else None
        answers, state = answer_frame(self._receiver, stop, state, bits_BN, frame, np.full(len(rows), crossover))
        still_open = [i for i, answer in enumerate(answers) if answer.outcome is None]
        entry = None
        if still_open:
            received = (*_received(record, rows[0]), (rows, pack(bits_BN), crossover))
            entry = CachedState(tuple(rows[i] for i in still_open), received, state.select(still_open))
        self._cache.put(session, entry)
        return answers

    def classify(self, session: str, record: SessionRecord, rows: tuple[int, ...]) -> Floats:
        """Logits of rows with the bits at hand, logits_BL; each row with its own history."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for row in rows:
            groups.setdefault(record.history(row), []).append(row)
        logits: dict[int, Floats] = {}
        for group in groups.values():
            logits_BL = close(self._receiver, self._state(session, record, tuple(group)))
            logits.update(zip(group, logits_BL, strict=True))
        self._let_go(session, rows)
        return np.stack([logits[row] for row in rows])

    def warm_up(self) -> None:
        """One frame of the default system through everything, so that the first request does not pay for it."""
        system = SYSTEMS[DEFAULT_SYSTEM]
        frame = first_frame(system, self.profile.harq)
        stop = StopCondition(system, self.served.manifest.thresholds[system.name], self.profile.harq)
        answer_frame(self._receiver, stop, None, np.zeros((1, frame.bits), dtype=np.uint8), frame, np.zeros(1))

    def _let_go(self, session: str, rows: tuple[int, ...]) -> None:
        """Keep no state of rows that end here."""
        if cached := self._cache.get(session):
            rest = [i for i, row in enumerate(cached.rows) if row not in rows]
            kept = CachedState(tuple(cached.rows[i] for i in rest), cached.received, cached.state.select(rest))
            self._cache.put(session, kept)

    def _frame(self, record: SessionRecord, round_: int) -> Frame:
        return frame_of_round(SYSTEMS[record.system], self.profile.harq, round_, record.fixed_t)

    def _state(self, session: str, record: SessionRecord, rows: tuple[int, ...]) -> ReceiverState:
        cached = self._cache.get(session)
        if cached and cached.received == _received(record, rows[0]) and set(rows) <= set(cached.rows):
            return cached.state.select([cached.rows.index(row) for row in rows])
        return self._rebuilt(record, rows)

    def _rebuilt(self, record: SessionRecord, rows: tuple[int, ...]) -> ReceiverState:
        state: ReceiverState | None = None
        for index in record.history(rows[0]):
            entry, frame = record.rounds[index], self._frame(record, index + 1)
            state = self._receiver.combine(state, entry.bits_of(rows), frame, np.full(len(rows), entry.crossover))
        assert state is not None, "an open row has been combined at least once"
        return state


def _received(record: SessionRecord, row: int) -> tuple[ReceivedRound, ...]:
    """What the state of a row is made of."""
    entries = (record.rounds[index] for index in record.history(row))
    return tuple((entry.combined, entry.payload, entry.crossover) for entry in entries)
