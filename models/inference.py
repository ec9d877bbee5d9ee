# SPDX-License-Identifier: Apache-2.0
"""The one way to run a network outside training: padded to whole tiles, so that the batch does not show in the result.

Shapes   B batch, padded with zero rows to a multiple of ``tile``, and run in pieces of so many rows.
Units    tile and pieces in rows.
Math     none
Source   measured here: a batch of 1 and a batch of 64 take different kernels, differ in the last bits, and a neuron
         at its threshold then fires or does not. How many rows a tile needs depends on the networks: profiles say it
         of their backbone, codecs of theirs (docs/decisions/0002).
Differs  ``tile = 1`` turns the padding off, for lowest latency; results then depend on the batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import torch
from torch import Tensor

#: Enough for all networks measured here.
SAFE_TILE: Final = 16
#: Rows at a time on a CPU where nothing else is asked for: full pieces are what a node's lanes take apart (0017).
CPU_PIECE_ROWS: Final = 32

#: What is run: tensors in and tensors out, all with the batch as their first axis. Passes of one function, the same
#: object or an equal one, may be stacked (service/stacking.py): a method of an object that holds weights alone.
Function = Callable[..., tuple[Tensor, ...]]


def arithmetic_of(device: str, dtype: str, tile: int) -> str:
    """What decides the last bits of a result besides the weights, in one line: ``cpu float32 tile 4``."""
    return f"{device} {dtype} tile {tile}"


@dataclass(frozen=True)
class Inference:
    """Device, precision and tile of all inference of a process or link.

    ``cpu_piece_rows`` says how many rows a CPU computes at a time; whole tiles of them, so the result is the same.
    """

    device: torch.device
    bf16: bool = False
    tile: int = SAFE_TILE
    cpu_piece_rows: int = CPU_PIECE_ROWS

    @property
    def dtype(self) -> str:
        return "bfloat16" if self.bf16 else "float32"

    @property
    def arithmetic(self) -> str:
        return arithmetic_of(str(self.device), self.dtype, self.tile)

    def at_least(self, tile: int) -> Self:
        """The same with a larger tile, for networks that need one; where padding is off, it stays off."""
        return self if self.tile == 1 or self.tile >= tile else replace(self, tile=tile)

    def run(self, function: Function, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Call ``function`` on the padded inputs and cut its outputs back to the batch.

        Inputs and outputs all have the batch as their first axis. Gradients are off.
        """
        return joined([self._run_piece(function, piece) for piece in self.pieces(inputs)])

    def pieces(self, inputs: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """The inputs, cut into what is run at a time: whole tiles, all but the last of equal rows."""
        batch = max(inputs[0].shape[0], 1)
        rows = min(self.piece_rows or batch, batch)
        return [[x[start : start + rows] for x in inputs] for start in range(0, batch, rows)]

    @property
    def piece_rows(self) -> int | None:
        """The most rows that are run at a time; None where there is no such bound."""
        return max(self.cpu_piece_rows // self.tile, 1) * self.tile if self.device.type == "cpu" else None

    def _run_piece(self, function: Function, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        batch = inputs[0].shape[0]
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            outputs = function(*(self._padded(x) for x in inputs))
        return tuple(out[:batch] for out in outputs)

    def _padded(self, x: Tensor) -> Tensor:
        x = x.to(self.device)
        rows = -x.shape[0] % self.tile
        return x if rows == 0 else torch.cat((x, x.new_zeros(rows, *x.shape[1:])))


def joined(pieces: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The outputs of a whole batch from those of its pieces."""
    return pieces[0] if len(pieces) == 1 else tuple(torch.cat(parts) for parts in zip(*pieces, strict=True))


def choose_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``auto`` (CUDA where there is one).

    Raises ValueError where CUDA is asked for and absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for, but PyTorch sees no CUDA device; use 'cpu' or 'auto'")
    return torch.device(name)


def inference_device(name: str) -> torch.device:
    """As :func:`choose_device`; from then on this process computes on CUDA as exactly as cuDNN can.

    Left alone it cuts float32 to 11 significant bits (TF32) and may sum in another order every time. Training does not
    mind, and is faster so. Raises ValueError as that does.
    """
    device = choose_device(name)
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return device
