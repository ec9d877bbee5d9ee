# SPDX-License-Identifier: Apache-2.0
"""The edge's side of a session: send, listen, send one step more for those that were not understood.

One image is a batch of one block. What the edge hears may be wrong: an ACK without a result makes it ask for the
result, a NACK at the last step too; a NACK where the cloud had said ACK costs one frame that the cloud ignores.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from channel.bits import pack
from models.decision import is_last
from models.frames import Frame
from models.systems import first_frame, next_frame
from models.transmitter import Transmitter, TransmitterState
from service.compute import ComputeQueue
from service.errors import PeerFailed
from service.nodes.edge.exchange import Exchange, SessionLost, Tally
from service.nodes.edge.request import Plan
from service.wire import FrameHead, Prediction, RelayedAnswer, ResultAnswer, RoundReport

#: A cloud that loses a session again and again is broken.
_MAX_RESTARTS = 2


@dataclass(frozen=True)
class SentFrame:
    """A frame as it was sent, kept so that the session can start over."""

    frame: Frame
    blocks: tuple[int, ...]
    payload: bytes


@dataclass
class BlockProgress:
    """What the edge knows of one block."""

    block: int
    rounds: list[RoundReport] = field(default_factory=list)
    crossovers: list[float] = field(default_factory=list)
    outcome: str | None = None
    prediction: Prediction | None = None

    @property
    def bandwidth_bits(self) -> int:
        return sum(entry.payload_bits for entry in self.rounds)

    @property
    def mean_ber(self) -> float:
        """Bit-weighted mean crossover probability; exactly p where p never changed."""
        if len(set(self.crossovers)) == 1:
            return self.crossovers[0]
        weighted = zip(self.crossovers, self.rounds, strict=True)
        return sum(p * entry.payload_bits for p, entry in weighted) / self.bandwidth_bits


#: Told of the blocks that a round has just ended for, each round once, replayed or not.
OnRound = Callable[[Sequence[BlockProgress]], None]


def unheard(_: Sequence[BlockProgress]) -> None:
    """For who waits for the whole reply: it has the rounds."""


class HarqSession:
    """One request on its way: B blocks, one session at the cloud (another one if the cloud loses it)."""

    def __init__(self, transmitter: Transmitter, queue: ComputeQueue, exchange: Exchange, plan: Plan) -> None:
        self._transmitter, self._queue = transmitter, queue
        self._exchange, self.plan = exchange, plan
        self._sent: list[SentFrame] = []
        self.session = uuid4().hex
        self.restarts = 0
        self.durable = True
        self.blocks = [BlockProgress(block) for block in plan.blocks]

    @property
    def tally(self) -> Tally:
        """What its exchanges have cost so far."""
        return self._exchange.tally

    async def run(self, images_BCHW: NDArray[np.uint8], on_round: OnRound) -> None:
        """Send until every block has its result. Raises the refusal of the nodes beyond, or PeerFailed."""
        started = time.perf_counter()
        harq = self.plan.served.profile.harq
        deadline = self._exchange.deadline
        state: TransmitterState = await self._queue.run(deadline, self._transmitter.begin, images_BCHW)
        frame, sending = first_frame(self.plan.system, harq, self.plan.fixed_t), self.blocks
        while sending:
            bits_BN, state = await self._queue.run(deadline, self._transmitter.encode, state, frame)
            sent = SentFrame(frame, tuple(entry.block for entry in sending), pack(bits_BN))
            self._sent.append(sent)
            relayed = await self._deliver(sent)
            self._note(sending, frame, relayed, 1000 * (time.perf_counter() - started))
            on_round(sending)
            started = time.perf_counter()
            over = is_last(self.plan.system, harq, frame)
            stay = [row for row, entry in enumerate(sending) if entry.rounds[-1].feedback == "NACK" and not over]
            await self._ask_for_missing([entry for row, entry in enumerate(sending) if row not in set(stay)])
            state, sending, frame = state.select(stay), [sending[row] for row in stay], next_frame(frame)

    async def _deliver(self, sent: SentFrame) -> RelayedAnswer:
        """Send a frame; where the cloud has lost the session, everything sent so far again in a fresh one."""
        try:
            return await self._exchange.frame(self._head(sent), sent.payload)
        except SessionLost as lost:
            return await self._start_over(lost)

    async def _start_over(self, lost: SessionLost) -> RelayedAnswer:
        """Replay all frames into a fresh session -> the answer to the last one. The noise is the same again."""
        while self.restarts < _MAX_RESTARTS:
            self.restarts += 1
            self.session = uuid4().hex
            try:
                answers = [await self._exchange.frame(self._head(sent), sent.payload) for sent in self._sent]
                return answers[-1]
            except SessionLost as again:
                lost = again
        raise PeerFailed(f"the cloud lost the session {_MAX_RESTARTS + 1} times: {lost}")

    async def _ask_for_missing(self, ended: list[BlockProgress]) -> None:
        """Blocks that are over for the edge but came without a result."""
        missing = {entry.block: entry for entry in ended if entry.prediction is None}
        if not missing:
            return
        answer: ResultAnswer | None = None
        while answer is None:
            try:
                answer = await self._exchange.result(self.session, tuple(missing))
            except SessionLost as lost:
                await self._start_over(lost)
        self.durable = self.durable and answer.durable
        for result in answer.results:
            missing[result.block].outcome, missing[result.block].prediction = result.outcome, result.prediction

    def _head(self, sent: SentFrame) -> FrameHead:
        return FrameHead(
            session=self.session,
            round=sent.frame.round,
            t=sent.frame.t,
            position=sent.frame.position,
            blocks=sent.blocks,
            system=self.plan.system.name,
            profile=self.plan.served.profile.name,
            weights=self.plan.served.manifest.weights_sha256,
            threshold=self.plan.theta,
            digest=sha256(sent.payload).hexdigest(),
        )

    def _note(self, sending: list[BlockProgress], frame: Frame, relayed: RelayedAnswer, elapsed_ms: float) -> None:
        edge_ms = elapsed_ms - relayed.channel_ms - relayed.answer.cloud_ms
        self.durable = self.durable and relayed.answer.durable
        for row, (entry, answer) in enumerate(zip(sending, relayed.answer.answers, strict=True)):
            entry.crossovers.append(relayed.answer.crossover)
            entry.rounds.append(_report(frame, row, relayed, edge_ms))
            if answer.feedback == "ACK":
                entry.outcome, entry.prediction = answer.outcome, answer.prediction


def _report(frame: Frame, row: int, relayed: RelayedAnswer, edge_ms: float) -> RoundReport:
    """The round of one block, in the frame's order."""
    answer = relayed.answer.answers[row]
    return RoundReport(
        round=frame.round,
        t=frame.t,
        payload_bits=frame.bits,
        flipped_bits=relayed.flipped_bits[row],
        similarity=answer.similarity,
        margin=answer.margin,
        outlook=answer.outlook,
        crc_ok=answer.crc_ok,
        feedback=answer.feedback,
        feedback_inverted=relayed.inverted_feedback[row],
        arithmetic=relayed.answer.arithmetic,
        edge_ms=edge_ms,
        channel_ms=relayed.channel_ms,
        cloud_ms=relayed.answer.cloud_ms,
    )
