# SPDX-License-Identifier: Apache-2.0
"""Keyed noise: the uniform of a bit is a function of (seed, block, link, position), and of nothing else.

Shapes   N positions.
Units    u in [0, 1), 53 bits; positions in bits.
Math     N1  u = (Philox4x64(key = (seed, link), counter = (position // 4, block, 0, 0))[position % 4] >> 11) / 2^53
Source   Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011); numpy.random.Philox.
Differs  The paper says nothing of its generator. Counter-based, so that a retry meets the same noise and
         neither framing, batch nor order of arrival matters. NumPy adds one to the counter before it draws.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: The second key word of each link, and of what a channel with memory draws besides. A number never changes, or every
#: recorded trace would.
LINK_KEYS: Final = {"forward": 1, "feedback": 2, "state": 3, "state-redraw": 4}

#: Seeds and blocks are exact in a JSON number.
MAX_SEED: Final = 2**53 - 1

_DRAWS_PER_COUNT: Final = 4


def uniforms(seed: int, block: int, link: str, position: int, count: int) -> NDArray[np.float64]:
    """u_N [count], the uniforms of positions ``position .. position + count - 1``.

    Raises ValueError for a seed or block outside 0..2^53-1 or a negative position, KeyError for an unknown link.
    """
    if not 0 <= seed <= MAX_SEED or not 0 <= block <= MAX_SEED:
        raise ValueError(f"seed and block lie in 0..2^53-1, not {seed} and {block}")
    if position < 0:
        raise ValueError(f"a position is not negative, as {position} is")
    skipped = position % _DRAWS_PER_COUNT
    counter = [position // _DRAWS_PER_COUNT, block, 0, 0]
    generator = np.random.Generator(np.random.Philox(key=[seed, LINK_KEYS[link]], counter=counter))
    return generator.random(skipped + count)[skipped:]
