# SPDX-License-Identifier: Apache-2.0
"""Where and how a run computes: device, precision, memory layout, compilation."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from models.inference import choose_device

#: What the kernel calls a processor whose matrix unit multiplies bfloat16.
_AMX_FLAG = "amx_bf16"
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Engine:
    """``report_every`` steps the losses are read from the device: each reading waits for all that is under way."""

    device: torch.device
    bf16: bool
    channels_last: bool
    compiled: bool
    report_every: int = 1

    def place(self, network: nn.Module) -> None:
        """Move a network to the device, in the layout that is fastest there; its names stay."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        network.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack this form

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def choose_engine(device: str, *, bf16: bool, compiled: bool | None) -> Engine:
    """``device`` is cpu, cuda or auto. Raises ValueError where there is no CUDA device.

    channels_last: on CUDA, and on CPUs whose matrix unit (AMX) takes bfloat16; cores without it were measured to be
    faster in the usual layout. Compiled: on CUDA unless told otherwise; on the CPU it gained nothing.
    """
    chosen = choose_device(device)
    if chosen.type == "cuda":
        torch.backends.cudnn.benchmark = True
        return Engine(chosen, bf16, True, True if compiled is None else compiled, report_every=20)
    return Engine(chosen, bf16, bf16 and _has_amx(), bool(compiled))


def _has_amx() -> bool:
    return _CPU_INFO.is_file() and _AMX_FLAG in _CPU_INFO.read_text()
