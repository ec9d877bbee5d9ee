# SPDX-License-Identifier: Apache-2.0
"""The session table: which frame is answered how (docs/protocol.md, What the cloud answers).

Advancing a record is a compare-and-set in the store, so any replica may take any frame; within a process a lock a
session makes a repeated frame wait for the first one's answer instead of computing it twice.
"""

import asyncio
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from channel.bits import Bits, pack, unpack
from models.decision import Answer, Outcome
from models.frames import Frame
from models.prediction import most_probable
from models.systems import System, frame_of_round
from service.compute import ComputeQueue
from service.errors import BadFrame, Busy, SessionConflict, SessionGone, Unprocessable
from service.hop import Deadline
from service.nodes.cloud.answers import block_result, round_answers, rows_of
from service.nodes.cloud.engine import Engine
from service.nodes.cloud.record import (
    DIGEST_BYTES,
    EndRecord,
    RecordFormatError,
    RoundRecord,
    SessionRecord,
    decode,
    encode,
)
from service.stores.protocol import SessionStore, Stored, Swap
from service.wire import THRESHOLD, BlockAnswer, BlockResult, FrameHead

#: An ended session stays for repeated and late frames, which come within the edge's deadline, and no longer: it
#: counts against the limit of sessions.
_LINGER_S: Final = 60.0


@dataclass(frozen=True)
class ArrivedFrame:
    """A frame as it left the channel."""

    head: FrameHead
    crossover: float
    payload: bytes


@dataclass(frozen=True)
class Limits:
    """How many sessions live, and how long after their last frame."""

    max_sessions: int
    ttl_s: float


@dataclass(frozen=True)
class FrameOutcome:
    """The answers of a frame, the p of the bits that they rest on, and how they came to be."""

    answers: tuple[BlockAnswer, ...]
    crossover: float
    replayed: bool
    durable: bool


@dataclass(frozen=True)
class ResultOutcome:
    """The results of blocks that were closed on request, or had ended before."""

    results: tuple[BlockResult, ...]
    durable: bool


class Sessions:
    """Sessions of all profiles on one store."""

    def __init__(self, engines: Mapping[str, Engine], store: SessionStore, queue: ComputeQueue, limits: Limits) -> None:
        self._engines, self._store, self._queue, self._limits = engines, store, queue, limits
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def answer(self, arrived: ArrivedFrame, deadline: Deadline) -> FrameOutcome:
        """Answer a frame.

        Raises BadFrame, SessionConflict, SessionGone, Unprocessable, Busy or PeerTimedOut, as the table says.
        """
        frame = self._plan(arrived)
        head = arrived.head
        async with self._lock(head.session):
            # A lost race means that another replica advanced the record; what it wrote decides what this frame is.
            while True:
                record, version = await self._record(head)
                if head.round < record.next_round:
                    first_crossover = record.rounds[head.round - 1].crossover
                    return FrameOutcome(_replayed(record, head), first_crossover, True, self._store.durable)
                if head.round > record.next_round:
                    raise _unexpected(head, record)
                advanced = await self._advance(record, arrived, frame, deadline)
                swap = await self._swap(head.session, advanced, version)
                if swap.done:
                    answers = round_answers(advanced, head.round)
                    return FrameOutcome(answers, arrived.crossover, False, swap.durable)

    async def result(self, session: str, blocks: tuple[int, ...], deadline: Deadline) -> ResultOutcome:
        """Close blocks with the bits at hand, once and for all.

        Raises SessionGone where the session is unknown, BadFrame where it has no such block, PeerTimedOut.
        """
        async with self._lock(session):
            while True:
                stored = await self._store.load(session)
                if stored is None:
                    raise SessionGone(f"session {session} is unknown or expired")
                record = _read(stored, session)
                rows = rows_of(record, blocks)
                if all(row in record.ends for row in rows):
                    results = tuple(block_result(record, row) for row in rows)
                    return ResultOutcome(results, self._store.durable)
                missing = tuple(row for row in rows if row not in record.ends)
                closed = await self._close(session, record, missing, deadline)
                swap = await self._swap(session, closed, stored.version)
                if swap.done:
                    return ResultOutcome(tuple(block_result(closed, row) for row in rows), swap.durable)

    def _lock(self, session: str) -> asyncio.Lock:
        return self._locks.setdefault(session, asyncio.Lock())

    def _engine(self, profile: str) -> Engine:
        if profile not in self._engines:
            raise Unprocessable(f"profile {profile} is not available here; this node serves {', '.join(self._engines)}")
        return self._engines[profile]

    def _plan(self, arrived: ArrivedFrame) -> Frame:
        """What a frame of this system and round looks like. Raises where this one does not look so."""
        head, engine = arrived.head, self._engine(arrived.head.profile)
        if bytes.fromhex(head.weights) != engine.weights:
            raise SessionConflict("the edge's weights are others than the cloud's", weights_sha256=engine.weights.hex())
        system = engine.served.system(head.system)
        _check_terms(system, arrived)
        try:
            frame = frame_of_round(system, engine.profile.harq, head.round, _fixed_t(system, head))
        except ValueError as error:
            raise BadFrame(str(error)) from None
        if (head.t, head.position) != (frame.t, frame.position):
            raise BadFrame(f"round {head.round} of {head.system} is step {frame.t} from position {frame.position}")
        wanted = frame.bits * len(head.blocks) // 8
        if len(arrived.payload) != wanted:
            raise BadFrame(
                f"{len(head.blocks)} blocks of round {head.round} have {wanted} bytes, not {len(arrived.payload)}"
            )
        return frame

    async def _record(self, head: FrameHead) -> tuple[SessionRecord, int | None]:
        """The session's record and its version; a fresh record and None for the first frame of a new session."""
        stored = await self._store.load(head.session)
        if stored is not None:
            record = _read(stored, head.session)
            began = (record.profile, record.system, record.theta, record.weights.hex())
            if began != (head.profile, head.system, head.threshold, head.weights):
                raise SessionConflict(
                    "profile, system, threshold or weights are not those of the session's first frame"
                )
            return record, stored.version
        if head.round != 1:
            raise SessionGone(f"session {head.session} is unknown or expired")
        self._queue.check_room()
        if await self._store.count() >= self._limits.max_sessions:
            raise Busy(f"{self._limits.max_sessions} sessions are open", retry_after_s=1)
        system = self._engine(head.profile).served.system(head.system)
        terms = (head.system, head.threshold, _fixed_t(system, head))
        return SessionRecord(head.profile, bytes.fromhex(head.weights), *terms, head.blocks), None

    async def _advance(
        self, record: SessionRecord, arrived: ArrivedFrame, frame: Frame, deadline: Deadline
    ) -> SessionRecord:
        """The record after a frame: open rows are combined and decided; late rows are noted, their bits unused."""
        rows = rows_of(record, arrived.head.blocks)
        fresh = tuple(row for row in rows if row not in record.ends)
        if any(len(record.history(row)) != frame.round - 1 for row in fresh):
            raise SessionConflict("a block of this frame has missed a round", expected_round=record.next_round)
        bits_BN: Bits = unpack(arrived.payload, len(rows))[[rows.index(row) for row in fresh]]
        answers: dict[int, Answer] = {}
        if fresh:
            decide = self._engine(record.profile).decide
            frame_of = (arrived.head.session, record, fresh, bits_BN, arrived.crossover)
            decided = await self._queue.run(deadline, decide, *frame_of)
            answers = dict(zip(fresh, decided, strict=True))
        entry = RoundRecord(
            bytes.fromhex(arrived.head.digest)[:DIGEST_BYTES],
            arrived.crossover,
            rows,
            fresh,
            pack(bits_BN),
            tuple(_score(answers.get(row)) for row in rows),
        )
        ends = {
            row: EndRecord(answer.outcome.value, frame.round, _score(answer), most_probable(answer.logits_L))
            for row, answer in answers.items()
            if answer.outcome is not None and answer.logits_L is not None
        }
        return record.with_round(entry, ends)

    async def _close(
        self, session: str, record: SessionRecord, rows: tuple[int, ...], deadline: Deadline
    ) -> SessionRecord:
        if record.weights != self._engine(record.profile).weights:
            raise SessionConflict("the session began with other weights than the cloud has now")
        logits_BL = await self._queue.run(deadline, self._engine(record.profile).classify, session, record, rows)
        outcome = Outcome.FEEDBACK_ERROR.value
        return record.with_ends(
            {
                row: EndRecord(outcome, 0, None, most_probable(logits_L))
                for row, logits_L in zip(rows, logits_BL, strict=True)
            }
        )

    async def _swap(self, session: str, record: SessionRecord, version: int | None) -> Swap:
        ttl_s = min(self._limits.ttl_s, _LINGER_S) if record.ended else self._limits.ttl_s
        return await self._store.swap(session, encode(record.stripped()), expected=version, ttl_s=ttl_s)


def _read(stored: Stored, session: str) -> SessionRecord:
    """Raises SessionGone for another version's, so that the edge replays its frames into a session of this one."""
    try:
        return decode(stored.value)
    except RecordFormatError:
        raise SessionGone(f"session {session} was begun by another version of SpikeLink") from None


def _replayed(record: SessionRecord, head: FrameHead) -> tuple[BlockAnswer, ...]:
    entry = record.rounds[head.round - 1]
    same_blocks = tuple(record.blocks[row] for row in entry.rows) == head.blocks
    if entry.digest != bytes.fromhex(head.digest)[:DIGEST_BYTES] or not same_blocks:
        raise SessionConflict(f"round {head.round} was another frame", expected_round=record.next_round)
    return round_answers(record, head.round)


def _unexpected(head: FrameHead, record: SessionRecord) -> SessionConflict:
    detail = f"round {head.round} came where round {record.next_round} is expected"
    return SessionConflict(detail, expected_round=record.next_round)


def _check_terms(system: System, arrived: ArrivedFrame) -> None:
    """Raises BadFrame for a threshold that is missing or not wanted, Unprocessable where bypass has met noise."""
    if (arrived.head.threshold is not None) is not system.takes_threshold:
        wrong = "is missing: it takes a" if system.takes_threshold else "is there: it takes no"
        raise BadFrame(f"header {THRESHOLD} of system {system.name} {wrong} threshold")
    if system.error_free and arrived.crossover > 0:
        raise Unprocessable(
            f"{system.name} is the error-free reference, but the forward link's BER is {arrived.crossover}"
        )


def _fixed_t(system: System, head: FrameHead) -> int | None:
    """The rate of a fixed-rate system is the last step of its only frame."""
    return head.t if system.takes_t else None


def _score(answer: Answer | None) -> float | None:
    """What the stop rule went by."""
    if answer is None:
        return None
    if answer.crc_ok is not None:
        return float(answer.crc_ok)
    scores = (answer.similarity, answer.margin, answer.outlook)
    return next((score for score in scores if score is not None), None)
