# SPDX-License-Identifier: Apache-2.0
"""What happened to a block on its way: its rounds, its end, its logits.

Shapes   logits_L [100].
Units    payload and flips in bits; similarity a cosine; margin a difference of probabilities; outlook
         in [-1, 1].
Math     none
Source   docs/protocol.md, One image and Bits
Differs  none
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.decision import Feedback, Outcome


@dataclass(frozen=True)
class RoundTrace:
    """One frame and its answer, as the edge received it."""

    round: int
    t: int
    payload_bits: int
    flipped_bits: int
    similarity: float | None
    margin: float | None
    outlook: float | None
    crc_ok: bool | None
    feedback: Feedback


@dataclass(frozen=True)
class BlockTrace:
    """One image's session."""

    block: int
    outcome: Outcome
    rounds: tuple[RoundTrace, ...]
    logits_L: NDArray[np.float32]

    @property
    def bandwidth_bits(self) -> int:
        """Payload bits on the forward link, those that the cloud no longer needed included."""
        return sum(entry.payload_bits for entry in self.rounds)

    @property
    def class_index(self) -> int:
        return int(self.logits_L.argmax())
