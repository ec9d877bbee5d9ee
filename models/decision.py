# SPDX-License-Identifier: Apache-2.0
"""The cloud's decision on a frame: combine, judge, and classify the blocks whose session ends with it.

Shapes   B blocks, N bits of a frame, L classes; logits_L [100].
Units    similarity a cosine; margin a difference of probabilities; outlook in [-1, 1]; p in [0, 0.5].
Math     ACK if score > theta, or the CRC holds, or t = T, else NACK; ends: accepted, exhausted
Source   Section II-A of arXiv 2310.08804.
Differs  A fixed-rate system ends with its only frame and counts as accepted.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from channel.bits import Bits
from models.frames import Frame, HarqParameters
from models.receiver import Floats, Receiver, ReceiverState, Verdict, accepts
from models.systems import StopRule, System, last_round


class Feedback(StrEnum):
    """One bit from cloud to edge. NACK asks for another time step."""

    ACK = "ACK"
    NACK = "NACK"

    def inverted(self) -> "Feedback":
        return Feedback.NACK if self is Feedback.ACK else Feedback.ACK


class Outcome(StrEnum):
    """How a session ends."""

    ACCEPTED = "accepted"
    EXHAUSTED = "exhausted"
    FEEDBACK_ERROR = "feedback_error"


@dataclass(frozen=True)
class Answer:
    """The cloud's answer to one block of a frame. ``outcome`` and ``logits_L`` come with an ACK."""

    feedback: Feedback
    similarity: float | None
    margin: float | None
    outlook: float | None
    crc_ok: bool | None
    outcome: Outcome | None
    logits_L: NDArray[np.float32] | None


def is_last(system: System, harq: HarqParameters, frame: Frame) -> bool:
    """Whether the system can send nothing after this frame."""
    return frame.round == last_round(system, harq)


@dataclass(frozen=True)
class StopCondition:
    """What decides a session: the system's rule, theta where the rule takes one, and T.

    Raises ValueError where theta is missing or not wanted.
    """

    system: System
    theta: float | None
    harq: HarqParameters

    def __post_init__(self) -> None:
        if (self.theta is not None) is not self.system.takes_threshold:
            article = "a" if self.system.takes_threshold else "no"
            raise ValueError(f"system {self.system.name} takes {article} threshold")


def answer_frame(
    receiver: Receiver,
    stop: StopCondition,
    state: ReceiverState | None,
    bits_BN: Bits,
    frame: Frame,
    crossover_B: NDArray[np.float64],
) -> tuple[list[Answer], ReceiverState]:
    """Decide a frame of B open blocks -> (an answer a block, the state after the frame).

    ``state`` holds the same blocks in the same order, None before the first frame; ``crossover_B`` is the p that this
    frame met, by block.
    Raises ValueError where the frame does not follow the state.
    """
    state = receiver.combine(state, bits_BN, frame, crossover_B)
    verdict = receiver.judge(stop.system, state)
    outcomes = [_outcome(stop, verdict, row, frame) for row in range(len(bits_BN))]
    ended = [row for row, outcome in enumerate(outcomes) if outcome]
    logits = dict(zip(ended, _logits(receiver, state, verdict, ended), strict=True))
    return [_answer(stop, verdict, row, outcomes[row], logits.get(row)) for row in range(len(bits_BN))], state


def close(receiver: Receiver, state: ReceiverState) -> Floats:
    """Classify with the bits at hand -> logits_BL [B, 100]."""
    return receiver.logits(receiver.feature(state))


def _outcome(stop: StopCondition, verdict: Verdict, row: int, frame: Frame) -> Outcome | None:
    if _suffices(stop, verdict, row):
        return Outcome.ACCEPTED
    return Outcome.EXHAUSTED if is_last(stop.system, stop.harq, frame) else None


def _suffices(stop: StopCondition, verdict: Verdict, row: int) -> bool:
    if verdict.crc_ok_B is not None:
        return bool(verdict.crc_ok_B[row])
    return verdict.score_B is None or stop.theta is None or accepts(verdict.score_B[row], stop.theta)


def _logits(receiver: Receiver, state: ReceiverState, verdict: Verdict, rows: list[int]) -> Floats:
    if verdict.logits_BL is not None:
        ended: Floats = verdict.logits_BL[rows]
        return ended
    return close(receiver, state.select(rows)) if rows else np.empty((0, 0), dtype=np.float32)


def _answer(
    stop: StopCondition, verdict: Verdict, row: int, outcome: Outcome | None, logits_L: NDArray[np.float32] | None
) -> Answer:
    score = None if verdict.score_B is None else float(verdict.score_B[row])
    rules = (StopRule.SIMILARITY, StopRule.MARGIN, StopRule.OUTLOOK)
    similarity, margin, outlook = (score if stop.system.stop is rule else None for rule in rules)
    crc_ok = None if verdict.crc_ok_B is None else bool(verdict.crc_ok_B[row])
    return Answer(Feedback.ACK if outcome else Feedback.NACK, similarity, margin, outlook, crc_ok, outcome, logits_L)
