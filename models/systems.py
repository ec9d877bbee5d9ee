# SPDX-License-Identifier: Apache-2.0
"""The systems that can be compared: which codec each uses, and what makes its cloud say ACK.

Shapes   none
Units    positions and payloads in bits; t in time steps.
Math     payload after step t: 32 + 512 t (snn-sc-harq: with K; snn-sc-ldpc-harq: coded bits), 512 t (multi-rate,
         snn-sc-margin-harq, snn-sc-learned-harq, cnn-1bit), 16 per element (bypass)
Source   Section III of arXiv 2310.08804 for snn-sc-harq, multi-rate and snn-sc-ldpc-harq.
Differs  Ours are snn-sc-margin-harq (stop by the margin of the task head's two largest probabilities),
         snn-sc-learned-harq (by what a small network expects of more bits, from margin, p and t) and cnn-1bit.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from channel.bits import PRIOR_BITS, STEP_BITS, step_position
from models.catalogue import by_name
from models.codecs import CNN_1BIT, SNN_SC, SNN_SC_LDPC, UNCOMPRESSED, Codec, Whole
from models.frames import Frame, HarqParameters


class StopRule(StrEnum):
    """What the cloud goes by: a score that it compares with theta, a CRC, or nothing, since the rate is fixed."""

    SIMILARITY = "similarity"
    MARGIN = "margin"
    OUTLOOK = "outlook"
    CRC = "crc"
    FIXED = "fixed"


@dataclass(frozen=True)
class System:
    """One row of the catalogue: a codec and a stop rule. CRC asks for a codec whose cloud half is ``Checked``.

    Raises ValueError for the learned rule on a codec that it was not fitted to.
    """

    name: str
    summary: str
    codec: Codec
    stop: StopRule

    def __post_init__(self) -> None:
        if self.stop is StopRule.OUTLOOK and self.codec is not SNN_SC:
            raise ValueError(f"system {self.name}: the learned rule was fitted to codec {SNN_SC.name} alone")

    @property
    def is_harq(self) -> bool:
        """Whether a NACK is answered by one step more."""
        return self.stop is not StopRule.FIXED

    @property
    def takes_threshold(self) -> bool:
        return self.stop in (StopRule.SIMILARITY, StopRule.MARGIN, StopRule.OUTLOOK)

    @property
    def takes_t(self) -> bool:
        """Whether the caller chooses the rate."""
        return not self.is_harq and not isinstance(self.codec.rate, Whole)

    @property
    def sends_prior(self) -> bool:
        """Whether K goes before the first step: SimNet needs it."""
        return self.stop is StopRule.SIMILARITY

    @property
    def error_free(self) -> bool:
        """Whether a BER above 0 is refused."""
        return self.codec.error_free


SYSTEMS: Final = by_name(
    System("snn-sc-harq", "the paper's system: ACK by SimNet's estimate", SNN_SC, StopRule.SIMILARITY),
    System("snn-sc-margin-harq", "the same codec, ACK by the margin of the prediction", SNN_SC, StopRule.MARGIN),
    System("snn-sc-learned-harq", "the same codec, ACK where more bits promise no gain", SNN_SC, StopRule.OUTLOOK),
    System("multi-rate", "the same codec at a fixed number of time steps", SNN_SC, StopRule.FIXED),
    System("snn-sc-ldpc-harq", "separate coding: spikes behind LDPC, ACK by CRC", SNN_SC_LDPC, StopRule.CRC),
    System("cnn-1bit", "a codec without spikes at a fixed number of blocks", CNN_1BIT, StopRule.FIXED),
    System("bypass", "the uncompressed feature, error-free reference", UNCOMPRESSED, StopRule.FIXED),
)
DEFAULT_SYSTEM: Final = "snn-sc-harq"


def first_frame(system: System, harq: HarqParameters, t: int | None = None) -> Frame:
    """The first frame of a session; ``t`` is the fixed rate of a system that takes one and is None for all others.

    Raises ValueError where ``t`` is missing, not wanted, or outside the codec's range.
    """
    if t is not None and not system.takes_t:
        raise ValueError(f"system {system.name} takes no t; its rounds decide the rate")
    if t is None and system.takes_t:
        raise ValueError(f"system {system.name} needs t, the number of time steps to send")
    rate = system.codec.rate
    if isinstance(rate, Whole):
        return Frame(1, 0, 0, rate.bits_per_value * harq.feature_size, 1, system.codec.name)
    first, last = rate.range(harq)
    t = first if t is None else t
    if not first <= t <= last:
        raise ValueError(f"t lies in {first}..{last}, not at {t}")
    prior = PRIOR_BITS if system.sends_prior else 0
    position = rate.start - prior
    return Frame(1, t, position, step_position(t + 1) - position, 1, system.codec.name, prior)


def next_frame(frame: Frame) -> Frame:
    """The retransmission that follows: one time step more."""
    t = frame.t + 1
    return replace(
        frame, round=frame.round + 1, t=t, position=step_position(t), bits=STEP_BITS, first_step=t, prior_bits=0
    )


def last_round(system: System, harq: HarqParameters) -> int:
    """How many rounds a session can have."""
    rate = system.codec.rate
    if not system.is_harq or isinstance(rate, Whole):
        return 1
    first, last = rate.range(harq)
    return last - first + 1


def frame_of_round(system: System, harq: HarqParameters, round_: int, t: int | None = None) -> Frame:
    """The frame of a round counted from 1; ``t`` as in :func:`first_frame`.

    Raises ValueError where the system has no such round.
    """
    frame, last = first_frame(system, harq, t), last_round(system, harq)
    if not 1 <= round_ <= last:
        raise ValueError(f"system {system.name} has rounds 1..{last}, not {round_}")
    for _ in range(round_ - 1):
        frame = next_frame(frame)
    return frame
