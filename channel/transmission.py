# SPDX-License-Identifier: Apache-2.0
"""The forward link: packed frames through a channel model of the catalogue.

Shapes   B blocks, N bits each.
Units    crossover probability p in [0, 0.5]; flips in bits.
Math     y = x XOR mask, the mask a function of (model, p, seed, block, position)
Source   B(.; p) of Algorithm 1, arXiv 2310.08804, for the model ``bsc``.
Differs  none
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from channel.bits import Bits, pack, unpack
from channel.bsc import BinarySymmetric
from channel.bursts import GilbertBursts


class ChannelModel(Protocol):
    """Which bits a channel flips: the same ones whenever it is asked, however the bits are framed."""

    summary: str

    def flips(self, crossover: float, *, seed: int, block: int, position: int, count: int) -> Bits:
        """mask_N [count] in {0, 1} for the bits at ``position ..`` of a block; on average a share ``crossover`` is 1.

        Raises ValueError where ``crossover`` lies outside [0, 0.5] or is NaN.
        """


#: A channel of one's own is an entry here (docs/extend.md).
CHANNELS: Final[dict[str, ChannelModel]] = {"bsc": BinarySymmetric(), "bursts": GilbertBursts()}
DEFAULT_CHANNEL: Final = "bsc"


@dataclass(frozen=True)
class Reception:
    """What leaves the channel: the payload after noise and the flips of each block."""

    payload: bytes
    flipped_bits: tuple[int, ...]


def transmit(
    payload: bytes, crossover: float, *, seed: int, blocks: Sequence[int], position: int, model: str = DEFAULT_CHANNEL
) -> Reception:
    """Send a frame of equally long blocks over the forward link.

    ``payload`` holds the blocks one after the other, each starting at ``position`` of its own HARQ process.
    Raises KeyError for a model that is not in the catalogue; ValueError as the model and
    :func:`channel.bits.unpack` do, where there is noise.
    """
    if crossover == 0.0:
        return Reception(payload, (0,) * len(blocks))
    bits_BN = unpack(payload, len(blocks))
    count = bits_BN.shape[-1]
    channel = CHANNELS[model]
    mask_BN = np.stack([channel.flips(crossover, seed=seed, block=b, position=position, count=count) for b in blocks])
    return Reception(pack(bits_BN ^ mask_BN), tuple(int(n) for n in mask_BN.sum(axis=1)))
