# SPDX-License-Identifier: Apache-2.0
"""The one way to run a network outside training: padded to whole tiles, so that the batch does not show in the result.

Shapes   B batch, padded with zero rows to a multiple of ``tile``.
Units    tile in rows.
Math     none
Source   measured here: a batch of 1 and a batch of 64 take different kernels, differ in the last bits, and a neuron
         at its threshold then fires or does not.
Differs  ``tile = 1`` turns the padding off, for lowest latency; results then depend on the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

DEFAULT_TILE: Final = 16


@dataclass(frozen=True)
class Inference:
    """Device, precision and tile of all inference of a process or link."""

    device: torch.device
    bf16: bool = False
    tile: int = DEFAULT_TILE

    def run(self, function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> tuple[Tensor, ...]:
        """Call ``function`` on the padded inputs and cut its outputs back to the batch.

        Inputs and outputs all have the batch as their first axis. Gradients are off.
        """
        batch = inputs[0].shape[0]
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            outputs = function(*(self._padded(x) for x in inputs))
        return tuple(out[:batch] for out in outputs)

    def _padded(self, x: Tensor) -> Tensor:
        x = x.to(self.device)
        rows = -x.shape[0] % self.tile
        return x if rows == 0 else torch.cat((x, x.new_zeros(rows, *x.shape[1:])))


def choose_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``auto`` (CUDA where there is one).

    Raises ValueError where CUDA is asked for and absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for, but PyTorch sees no CUDA device; use 'cpu' or 'auto'")
    return torch.device(name)
