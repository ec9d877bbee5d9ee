# SPDX-License-Identifier: Apache-2.0
"""The cloud's session table as a pure function of what was known and what arrives, and an oracle for the numbers.

One session is an immutable value: what may have happened is a set of them, and frames that arrive together are all
the orders in which they could have arrived.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Final

import numpy as np
from nodes import PROFILE, HandFrame, Sender
from toy import load_networks

from channel.bits import unpack
from models.decision import close
from models.inference import Inference, choose_device
from models.labels import CLASS_NAMES
from models.parts import CloudNetworks
from models.prediction import most_probable
from models.receiver import Receiver, ReceiverState, accepts
from models.systems import SYSTEMS, StopRule, frame_of_round, last_round
from service.wire import BlockAnswer, BlockResult, Label, Prediction

TTL_S: Final = 300.0
#: An ended session's; of the cloud's own choosing (service/nodes/cloud/sessions.py).
LINGER_S: Final = 60.0
#: No pass through a network has more blocks than this, and all are padded to it: as exact as the default, and quicker.
TILE: Final = 4

Top = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Arrival:
    """A frame that arrives; ``refused`` is the status of a frame that can never be taken."""

    frame: HandFrame
    refused: int | None = None


@dataclass(frozen=True)
class Closing:
    """A request for the result that arrives."""

    session: str
    blocks: tuple[int, ...]


Event = Arrival | Closing


@dataclass(frozen=True)
class Reply:
    """What is told apart of a reply."""

    status: int
    answers: tuple[BlockAnswer, ...] = ()
    results: tuple[BlockResult, ...] = ()
    crossover: float | None = None
    replayed: bool = False
    expected_round: int | None = None


@dataclass(frozen=True)
class Round:
    """A frame that was taken."""

    digest: str
    blocks: tuple[int, ...]
    combined: tuple[int, ...]
    crossover: float
    bits: int
    answers: tuple[BlockAnswer, ...]


@dataclass(frozen=True)
class End:
    """How a block ended, in which round; 0 on request."""

    outcome: str
    round: int
    score: float | None
    top: Top

    @property
    def prediction(self) -> Prediction:
        top = tuple(Label(label=CLASS_NAMES[i], class_index=i, probability=p) for i, p in self.top)
        return Prediction(label=top[0].label, class_index=top[0].class_index, top=top)


@dataclass(frozen=True)
class Oracle:
    """The receiver of the in-process link over a folder's weights, asked for one history of p at a time."""

    folder: Path

    @cached_property
    def networks(self) -> CloudNetworks:
        return load_networks(self.folder)[1]

    @cached_property
    def receiver(self) -> Receiver:
        return Receiver(self.networks, Inference(choose_device("cpu"), tile=TILE))

    @cached_property
    def _states(self) -> dict[object, ReceiverState]:
        return {}

    @cached_property
    def _verdicts(self) -> dict[object, list[tuple[float | None, Top]]]:
        return {}

    def verdict(self, sender: Sender, row: int, bers: tuple[float, ...]) -> tuple[float | None, Top]:
        """A block's score, and its classes were it classified now, after rounds that met these p."""
        key = (sender.system, sender.images, sender.t, bers)
        if key not in self._verdicts:
            state = self._state(sender, bers)
            score_B = self.receiver.judge(SYSTEMS[sender.system], state).score_B
            scores = [None] * sender.images if score_B is None else [float(score) for score in score_B]
            tops = [most_probable(logits_L) for logits_L in close(self.receiver, state)]
            self._verdicts[key] = list(zip(scores, tops, strict=True))
        return self._verdicts[key][row]

    def _state(self, sender: Sender, bers: tuple[float, ...]) -> ReceiverState:
        key = (sender.system, sender.images, sender.t, bers)
        if key not in self._states:
            before = self._state(sender, bers[:-1]) if len(bers) > 1 else None
            frame = frame_of_round(SYSTEMS[sender.system], PROFILE.harq, len(bers), sender.t)
            bits_BN = unpack(sender.frame(len(bers), ber=bers[-1]).payload, sender.images)
            self._states[key] = self.receiver.combine(before, bits_BN, frame, np.full(sender.images, bers[-1]))
        return self._states[key]


@dataclass(frozen=True)
class Session:
    """All that a cloud has to know of one sender's session; without rounds there is none."""

    sender: Sender
    rounds: tuple[Round, ...] = ()
    heard: tuple[tuple[float, ...], ...] = ()
    ends: tuple[End | None, ...] = ()
    expires_s: float = float("inf")

    @property
    def next_round(self) -> int:
        return len(self.rounds) + 1

    @property
    def last_round(self) -> int:
        return last_round(SYSTEMS[self.sender.system], PROFILE.harq)

    def in_step(self) -> list[int]:
        """Blocks that the next frame may name: those that missed no round, and those that have ended."""
        if not self.rounds:
            return list(range(self.sender.images))
        return [row for row, end in enumerate(self.ends) if end or len(self.heard[row]) == len(self.rounds)]

    def at(self, now_s: float) -> "Session":
        """What is left of it at a time."""
        return Session(self.sender) if self.expires_s <= now_s else self

    def grew_from(self, earlier: "Session") -> bool:
        """Whether it is what a write made of an earlier state."""
        decided = {row: end for row, end in enumerate(earlier.ends) if end}
        return self.rounds[: len(earlier.rounds)] == earlier.rounds and all(
            self.ends[row] == end for row, end in decided.items()
        )

    def after(self, event: Event, oracle: Oracle, now_s: float) -> tuple["Session", Reply]:
        """The table of docs/protocol.md, What the cloud answers."""
        if isinstance(event, Closing):
            return self._closed(event, oracle, now_s)
        frame, head = event.frame, event.frame.head
        if event.refused is not None:
            return self, Reply(event.refused)
        if head.round > 1 and not self.rounds:
            return self, Reply(410)
        if head.round < self.next_round:
            return self, self._again(frame)
        if head.round > self.next_round or not set(head.blocks) <= set(self.in_step()):
            return self, Reply(409, expected_round=self.next_round)
        begun = (
            self if self.rounds else replace(self, heard=((),) * self.sender.images, ends=(None,) * self.sender.images)
        )
        return begun._taken(frame, oracle, now_s)

    def _again(self, frame: HandFrame) -> Reply:
        known = self.rounds[frame.head.round - 1]
        if (known.digest, known.blocks) != (frame.head.digest, frame.head.blocks):
            return Reply(409, expected_round=self.next_round)
        return Reply(200, known.answers, crossover=known.crossover, replayed=True)

    def _taken(self, frame: HandFrame, oracle: Oracle, now_s: float) -> tuple["Session", Reply]:
        heard, ends, answers, head = list(self.heard), list(self.ends), [], frame.head
        combined = tuple(row for row in head.blocks if ends[row] is None)
        for row in combined:
            heard[row] = (*heard[row], frame.crossover)
        for row in head.blocks:
            known = ends[row]
            score, top = (known.score, known.top) if known else oracle.verdict(self.sender, row, heard[row])
            if known is None and (outcome := self._outcome(score, head.round)):
                ends[row] = End(outcome, head.round, score, top)
            answers.append(_answer(self.sender.system, row, score, ends[row], late=known is not None))
        bits = 8 * len(frame.payload) // len(head.blocks)
        taken = Round(head.digest, head.blocks, combined, frame.crossover, bits, tuple(answers))
        advanced = replace(self, rounds=(*self.rounds, taken), heard=tuple(heard), ends=tuple(ends))
        return advanced._written(now_s), Reply(200, tuple(answers), crossover=frame.crossover)

    def _outcome(self, score: float | None, round_: int) -> str | None:
        theta = self.sender.theta
        if score is None or theta is None or accepts(np.float32(score), theta):
            return "accepted"
        return "exhausted" if round_ == self.last_round else None

    def _closed(self, event: Closing, oracle: Oracle, now_s: float) -> tuple["Session", Reply]:
        if not self.rounds:
            return self, Reply(410)
        ends, before = list(self.ends), self.ends
        for row in event.blocks:
            if ends[row] is None:
                top = oracle.verdict(self.sender, row, self.heard[row])[1]
                ends[row] = End("feedback_error", 0, None, top)
        results = tuple(
            BlockResult.model_validate({"block": row, "outcome": end.outcome, "prediction": end.prediction})
            for row in event.blocks
            if (end := ends[row]) is not None
        )
        closed = self if tuple(ends) == before else replace(self, ends=tuple(ends))._written(now_s)
        return closed, Reply(200, results=results)

    def _written(self, now_s: float) -> "Session":
        return replace(self, expires_s=now_s + (LINGER_S if all(self.ends) else TTL_S))


def outcomes(
    possible: Iterable[Session], events: list[Event], cut_off: list[bool], oracle: Oracle, now_s: float
) -> dict[Session, set[tuple[Reply | None, ...]]]:
    """What may be, with the replies that go with it; an event that was cut off has none, and may never have been."""
    found: dict[Session, set[tuple[Reply | None, ...]]] = {}
    takes = [[number for number in range(len(events)) if taken or not cut_off[number]] for taken in (True, False)]
    orders = {order for numbers in takes for order in permutations(numbers)}
    for start in possible:
        for order in orders:
            session, replies = start, [None] * len(events)
            for number in order:
                session, reply = session.after(events[number], oracle, now_s)
                replies[number] = None if cut_off[number] else reply  # type: ignore[call-overload]
            found.setdefault(session, set()).add(tuple(replies))
    return found


def _answer(system: str, row: int, score: float | None, end: End | None, *, late: bool) -> BlockAnswer:
    stop = SYSTEMS[system].stop
    return BlockAnswer(
        block=row,
        feedback="ACK" if end else "NACK",
        similarity=score if stop is StopRule.SIMILARITY else None,
        margin=score if stop is StopRule.MARGIN else None,
        outlook=score if stop is StopRule.OUTLOOK else None,
        late=late,
        outcome=end.outcome if end else None,  # type: ignore[arg-type]  # checked by the model
        prediction=end.prediction if end else None,
    )
