# SPDX-License-Identifier: Apache-2.0
"""The one bit order: where every bit of a HARQ process stands, and how bits become bytes.

Shapes   B blocks, N bits.
Units    positions and lengths in bits; a frame's body in bytes.
Math     position of K: 0..31; of S_t: 32 + 512 (t-1) .. 32 + 512 t - 1, in the order channel, row, column.
Source   Section III-A of arXiv 2310.08804: K has 32 bits, S_t has (32, 4, 4) = 512.
Differs  The order inside a step and the most-significant-bit-first packing are ours; the paper gives neither.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

PRIOR_BITS: Final = 32
STEP_BITS: Final = 512

Bits = NDArray[np.uint8]


def step_position(t: int) -> int:
    """Position of the first bit of S_t, t counted from 1. Raises ValueError where t < 1."""
    if t < 1:
        raise ValueError(f"time steps count from 1, not {t}")
    return PRIOR_BITS + STEP_BITS * (t - 1)


def pack(bits_BN: Bits) -> bytes:
    """bits_BN [B, N] in {0, 1} -> B * N / 8 bytes, most significant bit first, block after block.

    Raises ValueError where N is not a multiple of 8, because blocks are byte-aligned in a frame.
    """
    if bits_BN.shape[-1] % 8:
        raise ValueError(f"a block of {bits_BN.shape[-1]} bits is not a whole number of bytes")
    return np.packbits(bits_BN, axis=-1).tobytes()


def unpack(payload: bytes, blocks: int) -> Bits:
    """The inverse of :func:`pack`: payload -> bits_BN [blocks, N], writable.

    Raises ValueError where the payload does not divide evenly among the blocks.
    """
    if blocks < 1 or len(payload) % blocks:
        raise ValueError(f"{len(payload)} bytes do not divide evenly among {blocks} blocks")
    return np.unpackbits(np.frombuffer(payload, dtype=np.uint8).reshape(blocks, -1), axis=-1)
