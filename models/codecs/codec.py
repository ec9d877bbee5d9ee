# SPDX-License-Identifier: Apache-2.0
"""What a codec is: a half for the edge, a half for the cloud, the weights of both, and the bits of each step.

Shapes   B blocks, N bits of a frame; f_BCHW [B, C, 4, 4].
Units    bits in {0, 1}; crossover probability p in [0, 0.5]; t in time steps.
Math     none
Source   docs/protocol.md, Bits
Differs  none
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from channel.bits import PRIOR_BITS, Bits
from models.frames import Frame, HarqParameters
from models.inference import SAFE_TILE
from models.profiles import Profile

#: Makes an untrained network of a profile, which its weights are then loaded into.
PartFactory = Callable[[Profile], nn.Module]


@dataclass(frozen=True)
class State:
    """Base of what a half keeps of B blocks between frames: every field is a tensor whose first axis is the block."""

    def select(self, rows_N: list[int]) -> Self:
        """The state of some of the blocks, in the order given."""
        return replace(self, **{name: part[rows_of(part, rows_N)] for name, part in self._parts().items()})

    @property
    def size_bytes(self) -> int:
        return sum(part.numel() * part.element_size() for part in self._parts().values())

    def _parts(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def rows_of(part: Tensor, rows_N: list[int]) -> Tensor:
    """Row numbers as an index for a tensor, on its device."""
    return torch.tensor(rows_N, dtype=torch.int64, device=part.device)


S = TypeVar("S", bound=State)


class EdgeHalf(Protocol[S]):
    """Feature -> bits, frame by frame. The object holds weights alone; what changes is in the state."""

    def begin(self, feature_BCHW: Tensor) -> S:
        """The state before the first frame."""

    def encode(self, state: S, frame: Frame) -> tuple[Bits, S]:
        """The codec's bits of a frame, without K: bits_BN [B, frame.bits - frame.prior_bits], and the state after."""


class CloudHalf(Protocol[S]):
    """Received bits -> F'. The object holds weights alone; what changes is in the state."""

    def receive(self, state: S | None, bits_BN: Bits, frame: Frame, crossover_B: NDArray[np.float64]) -> S:
        """The state after a frame, on top of the frames before (None: there are none).

        ``bits_BN`` are the codec's, without K; ``crossover_B`` is the p that this frame met, by block.
        """

    def feature(self, state: S) -> Tensor:
        """F' [B, C, 4, 4] of what has arrived so far, float32."""


@runtime_checkable
class Checked(Protocol):
    """A cloud half that can tell by itself whether what it decoded is right: what the stop rule CRC asks."""

    def crc_ok(self, state: Any) -> NDArray[np.bool_]:
        """Whether each block's CRC holds, [B]."""


@dataclass(frozen=True)
class Steps:
    """Steps of 512 bits: after step t the positions ``start .. 32 + 512 t - 1`` have been sent, ``first <= t <= last``.

    None stands for the profile's t0 and T.
    """

    first: int | None = None
    last: int | None = None
    start: int = PRIOR_BITS

    def range(self, harq: HarqParameters) -> tuple[int, int]:
        """The smallest and the largest t."""
        return self.first or harq.t0, self.last or harq.max_steps


@dataclass(frozen=True)
class Whole:
    """No steps: the feature in one frame, so many bits a value. It is the error-free reference; noise is refused."""

    bits_per_value: int


@dataclass(frozen=True)
class Codec:
    """A row of the catalogue. A half is made of (inference, its parts in the order in which they are named here).

    ``tile``: batches are padded to a multiple of so many rows or more, measured for these networks (decision 0002).
    """

    name: str
    rate: Steps | Whole
    edge: Callable[..., EdgeHalf[Any]]
    cloud: Callable[..., CloudHalf[Any]]
    edge_parts: Mapping[str, PartFactory]
    cloud_parts: Mapping[str, PartFactory]
    tile: int = SAFE_TILE

    @property
    def error_free(self) -> bool:
        """Whether a BER above 0 is refused."""
        return isinstance(self.rate, Whole)
