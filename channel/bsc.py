# SPDX-License-Identifier: Apache-2.0
"""Binary symmetric channel, its noise keyed by (seed, block, link, position).

Shapes   N bits of one block.
Units    crossover probability p in [0, 0.5]; flips in bits.
Math     C1  y = x XOR [u < p], with the u of channel/noise.py: the same u for every p
Source   B(.; p) of Algorithm 1, arXiv 2310.08804.
Differs  u does not depend on p, so the flips at a smaller p are a subset of those at a larger one.
"""

from typing import Final

import numpy as np

from channel.bits import Bits
from channel.noise import uniforms

MAX_CROSSOVER: Final = 0.5


def check_crossover(crossover: float) -> None:
    """Raises ValueError where ``crossover`` lies outside [0, 0.5] or is NaN."""
    if not 0.0 <= crossover <= MAX_CROSSOVER:
        raise ValueError(f"a crossover probability lies in 0..0.5, not at {crossover}")


def flip_mask(crossover: float, *, seed: int, block: int, link: str, position: int, count: int) -> Bits:
    """mask_N [count] in {0, 1}: which of the bits at ``position ..`` the channel flips (Eq. C1).

    Raises ValueError where ``crossover`` lies outside [0, 0.5] or is NaN.
    """
    check_crossover(crossover)
    if crossover == 0.0:
        return np.zeros(count, dtype=np.uint8)
    return (uniforms(seed, block, link, position, count) < crossover).astype(np.uint8)


class BinarySymmetric:
    """Every bit flips with probability p, whatever its neighbours do."""

    summary = "independent flips with probability p"

    def flips(self, crossover: float, *, seed: int, block: int, position: int, count: int) -> Bits:
        """As :func:`flip_mask`, on the forward link."""
        return flip_mask(crossover, seed=seed, block=block, link="forward", position=position, count=count)


def feedback_flipped(crossover: float, *, seed: int, block: int, t: int) -> bool:
    """Whether the ACK or NACK that answers time step ``t`` of a block arrives inverted."""
    return bool(flip_mask(crossover, seed=seed, block=block, link="feedback", position=t, count=1)[0])
