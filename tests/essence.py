# SPDX-License-Identifier: Apache-2.0
"""What must be the same of one image's way, whoever reports it: HTTP alone, HTTP in a batch, the in-process link."""

from dataclasses import dataclass

from models.link import BlockTrace, RoundTrace
from models.prediction import most_probable
from service.wire import Classification, RoundReport

Round = tuple[int, int, int, int, float | None, float | None, bool | None, str]


@dataclass(frozen=True)
class Essence:
    """The result with exact probabilities, the bandwidth, and every round."""

    block: int
    top: tuple[tuple[int, float], ...]
    outcome: str
    bandwidth_bits: int
    rounds: tuple[Round, ...]


def of_reply(reply: Classification) -> Essence:
    """From what the edge answers; checks that the reply agrees with itself."""
    top = tuple((label.class_index, label.probability) for label in reply.top)
    assert (reply.label, reply.class_index) == (reply.top[0].label, reply.top[0].class_index)
    assert reply.bandwidth_bits == sum(entry.payload_bits for entry in reply.rounds)
    assert reply.feedback_bits == len(reply.rounds)
    rounds = tuple(_round(entry) for entry in reply.rounds)
    return Essence(reply.block, top, reply.outcome, reply.bandwidth_bits, rounds)


def of_trace(trace: BlockTrace) -> Essence:
    """From the in-process link."""
    rounds = tuple(_round(entry) for entry in trace.rounds)
    return Essence(trace.block, most_probable(trace.logits_L), str(trace.outcome), trace.bandwidth_bits, rounds)


def _round(entry: RoundReport | RoundTrace) -> Round:
    numbers = (entry.round, entry.t, entry.payload_bits, entry.flipped_bits)
    return (*numbers, entry.similarity, entry.margin, entry.outlook, entry.crc_ok, str(entry.feedback))
