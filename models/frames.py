# SPDX-License-Identifier: Apache-2.0
"""A frame: which bits of a block's HARQ process travel together, and whose they are.

Shapes   none
Units    positions and lengths in bits; t in time steps.
Math     none
Source   docs/protocol.md, Bits
Differs  none
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class HarqParameters:
    """t0 and T of a profile, and the number of values in its feature."""

    t0: int
    max_steps: int
    feature_size: int


@dataclass(frozen=True)
class Frame:
    """``bits`` of each block's process from ``position`` on: ``prior_bits`` of K, then the codec's up to step ``t``."""

    round: int
    t: int
    position: int
    bits: int
    first_step: int
    codec: str
    prior_bits: int = 0

    @property
    def steps(self) -> int:
        return self.t - self.first_step + 1

    @property
    def carries_prior(self) -> bool:
        return self.prior_bits > 0
