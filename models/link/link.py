# SPDX-License-Identifier: Apache-2.0
"""Edge, channel and cloud in one process: the same parts as the nodes, batched, for any system.

Shapes   B batch, C channels, H rows, W columns, N bits; x_BCHW uint8 [B, 3, 32, 32].
Units    ber and feedback_ber are crossover probabilities in [0, 0.5]; theta as the system's score.
Math     Algorithm 1 with Eqs. (1) to (3); stop by the estimate of Eq. (5)
Source   Section II-A of arXiv 2310.08804; feedback errors: docs/protocol.md.
Differs  none beyond those of the parts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channel.bits import Bits, pack, unpack
from channel.bsc import feedback_flipped
from channel.transmission import DEFAULT_CHANNEL, transmit
from models.decision import Answer, Feedback, Outcome, StopCondition, answer_frame, close, is_last
from models.frames import Frame
from models.link.trace import BlockTrace, RoundTrace
from models.profiles import Profile
from models.receiver import Receiver, ReceiverState
from models.systems import System, first_frame, next_frame
from models.transmitter import Transmitter


@dataclass(frozen=True)
class Request:
    """How a batch is to be sent. ``t`` and ``threshold`` (theta) are for the systems that take them, and need them."""

    system: System
    ber: float
    seed: int
    blocks: tuple[int, ...]
    threshold: float | None = None
    t: int | None = None
    feedback_ber: float = 0.0
    channel: str = DEFAULT_CHANNEL


class InProcessLink:
    """Any system over the keyed channel, B images at a time."""

    def __init__(self, profile: Profile, transmitter: Transmitter, receiver: Receiver) -> None:
        self._harq, self._transmitter, self._receiver = profile.harq, transmitter, receiver

    def run(self, images_BCHW: NDArray[np.uint8], request: Request) -> list[BlockTrace]:
        """Send the images -> their traces, in order; image i is block ``request.blocks[i]``.

        Raises ValueError where blocks and images differ in number, a threshold is missing or not wanted, or an
        error-free system meets a BER above 0; KeyError where the profile lacks the system's parts.
        """
        if len(images_BCHW) != len(request.blocks):
            raise ValueError(f"{len(images_BCHW)} images for {len(request.blocks)} blocks")
        if request.system.error_free and request.ber > 0:
            raise ValueError(f"{request.system.name} is the error-free reference; it takes no BER above 0")
        stop = StopCondition(request.system, request.threshold, self._harq)
        cloud = _CloudSide(self._receiver, stop, request.ber)
        rounds: list[list[RoundTrace]] = [[] for _ in request.blocks]
        state = self._transmitter.begin(images_BCHW)
        frame, sending = first_frame(request.system, self._harq, request.t), list(range(len(request.blocks)))
        while sending:
            bits_BN, state = self._transmitter.encode(state, frame)
            arrived_BN, flips = _transmit(bits_BN, [request.blocks[i] for i in sending], frame, request)
            answers = cloud.receive(sending, arrived_BN, frame)
            for i, answer, flipped in zip(sending, answers, flips, strict=True):
                rounds[i].append(_heard(answer, flipped, frame, request, request.blocks[i]))
            over = is_last(request.system, self._harq, frame)
            stay = [row for row, i in enumerate(sending) if rounds[i][-1].feedback is Feedback.NACK and not over]
            cloud.close([i for row, i in enumerate(sending) if row not in set(stay)])
            state, sending, frame = state.select(stay), [sending[row] for row in stay], next_frame(frame)
        ends = (cloud.ended[i] for i in range(len(request.blocks)))
        return [
            BlockTrace(block, outcome, tuple(heard), logits_L)
            for block, heard, (outcome, logits_L) in zip(request.blocks, rounds, ends, strict=True)
        ]


def _transmit(bits_BN: Bits, blocks: list[int], frame: Frame, request: Request) -> tuple[Bits, tuple[int, ...]]:
    received = transmit(
        pack(bits_BN), request.ber, seed=request.seed, blocks=blocks, position=frame.position, model=request.channel
    )
    return unpack(received.payload, len(blocks)), received.flipped_bits


def _heard(answer: Answer, flipped_bits: int, frame: Frame, request: Request, block: int) -> RoundTrace:
    """The round as the edge sees it, its feedback after the feedback link."""
    feedback = answer.feedback
    if feedback_flipped(request.feedback_ber, seed=request.seed, block=block, t=frame.t):
        feedback = feedback.inverted()
    scores = (answer.similarity, answer.margin, answer.outlook, answer.crc_ok)
    return RoundTrace(frame.round, frame.t, frame.bits, flipped_bits, *scores, feedback)


class _CloudSide:
    """What the cloud knows during one run: the open blocks' state, and the answers of those that have ended."""

    def __init__(self, receiver: Receiver, stop: StopCondition, ber: float) -> None:
        self._receiver, self._stop, self._ber = receiver, stop, ber
        self._state: ReceiverState | None = None
        self._rows: list[int] = []
        self._last: dict[int, Answer] = {}
        self.ended: dict[int, tuple[Outcome, NDArray[np.float32]]] = {}

    def receive(self, indices: list[int], bits_BN: Bits, frame: Frame) -> list[Answer]:
        """Answer a frame; blocks that have ended hear their old answer again, their bits go unused."""
        fresh = [row for row, i in enumerate(indices) if i not in self.ended]
        if fresh:
            self._select([indices[row] for row in fresh])
            p_B = np.full(len(fresh), self._ber)
            answers, self._state = answer_frame(self._receiver, self._stop, self._state, bits_BN[fresh], frame, p_B)
            for i, answer in zip(self._rows, answers, strict=True):
                self._last[i] = answer
                if answer.outcome is not None and answer.logits_L is not None:
                    self.ended[i] = (answer.outcome, answer.logits_L)
        return [self._last[i] for i in indices]

    def close(self, indices: list[int]) -> None:
        """The edge asks for results; blocks whose NACK was corrupted end with the bits at hand."""
        waiting = [i for i in indices if i not in self.ended]
        if waiting and self._state is not None:
            rows = [self._rows.index(i) for i in waiting]
            logits_BL = close(self._receiver, self._state.select(rows))
            self.ended.update({i: (Outcome.FEEDBACK_ERROR, row) for i, row in zip(waiting, logits_BL, strict=True)})

    def _select(self, indices: list[int]) -> None:
        """Keep the rows of these blocks, in this order."""
        if self._state is not None:
            self._state = self._state.select([self._rows.index(i) for i in indices])
        self._rows = indices
