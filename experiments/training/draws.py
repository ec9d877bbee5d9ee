# SPDX-License-Identifier: Apache-2.0
"""What a training batch meets on its way: how many steps are sent, and over which crossover probability.

All draws come from the run's generator, which lives on the CPU: the same numbers on every device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

#: The paper trains over U(0, 0.3).
MAX_TRAINING_BER = 0.3


@dataclass(frozen=True)
class Draws:
    """t uniform in min_steps..max_steps; p uniform in 0..max_ber, in its upper half for ``high_share`` of images."""

    min_steps: int
    max_steps: int
    max_ber: float = MAX_TRAINING_BER
    high_share: float = 0.0

    def steps(self, generator: torch.Generator) -> int:
        """One t for a whole batch."""
        return int(torch.randint(self.min_steps, self.max_steps + 1, (), generator=generator))

    def steps_per_image(self, batch: int, generator: torch.Generator) -> Tensor:
        """t_B [B], int64: for networks whose batch statistics differ with t."""
        return torch.randint(self.min_steps, self.max_steps + 1, (batch,), generator=generator)

    def bers(self, batch: int, generator: torch.Generator) -> Tensor:
        """p_B [B], float32."""
        share_B = torch.rand(batch, generator=generator)
        high_B = torch.rand(batch, generator=generator) < self.high_share
        return torch.where(high_B, (1 + share_B) / 2, share_B) * self.max_ber


def flip_straight_through(s: Tensor, p_B: Tensor, generator: torch.Generator) -> Tensor:
    """A BSC whose backward pass is the identity; s [B, ...] in {0, 1}, p per image."""
    drawn = torch.rand(s.shape, generator=generator)
    mask = (drawn < p_B.view(-1, *(1,) * (s.ndim - 1))).to(s.device)
    return s + (torch.where(mask, 1.0 - s, s) - s).detach()
