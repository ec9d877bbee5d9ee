# SPDX-License-Identifier: Apache-2.0
"""A channel with bursts: Gilbert's, whose bits come through in its good state and are coin tosses in its bad one.

Shapes   N bits of one block.
Units    crossover probability p in [0, 0.5], as the mean over time; memory in bits.
Math     G1  s_n = [v_n < 2 p] where r_n < 1 / M or n = 0, else s_(n-1);  y_n = x_n XOR (s_n AND [u_n < 1/2])
Source   E. N. Gilbert, "Capacity of a burst-noise channel", Bell Syst. Tech. J. 39 (1960): two states, one clean.
Differs  Written as a state that is drawn anew every M = 32 bits on average. That is Gilbert's chain with transition
         probabilities 2 p / M and (1 - 2 p) / M, and the draws of r, v and u do not depend on p: the flips at a smaller
         p are a subset of those at a larger one, as on the BSC. A burst ends with its block.
"""

from typing import Final

import numpy as np

from channel.bits import Bits
from channel.bsc import check_crossover
from channel.noise import uniforms

#: Bits after which, on average, the state is drawn anew: two of a step's 32 spike maps.
MEMORY_BITS: Final = 32


class GilbertBursts:
    """Errors in bursts: half of the bits in a bad stretch flip, none outside of it."""

    summary = "bursts: coin tosses in bad stretches of some 32 bits, no error outside; p is the mean over time"

    def flips(self, crossover: float, *, seed: int, block: int, position: int, count: int) -> Bits:
        """mask_N [count] in {0, 1} (Eq. G1). Raises ValueError where ``crossover`` lies outside [0, 0.5] or is NaN."""
        check_crossover(crossover)
        if crossover == 0.0:
            return np.zeros(count, dtype=np.uint8)
        end = position + count
        # The state at a position follows from the last draw before it, so the draws from the block's start are needed.
        drawn_N = uniforms(seed, block, "state-redraw", 0, end) < 1 / MEMORY_BITS
        drawn_N[0] = True
        last_N = np.maximum.accumulate(np.where(drawn_N, np.arange(end), 0))
        bad_N = (uniforms(seed, block, "state", 0, end) < 2 * crossover)[last_N[position:]]
        return (bad_N & (uniforms(seed, block, "forward", position, count) < 0.5)).astype(np.uint8)
