# SPDX-License-Identifier: Apache-2.0
"""A run's folder: ``last.pt`` to resume from, ``best.pt`` to export. Each file is whole or absent at any time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from experiments.whole_files import whole_file

#: Seconds between two checkpoints inside an epoch: what an interruption may cost.
DEFAULT_INTERVAL_S = 300.0


class ResumeError(Exception):
    """The checkpoint belongs to another run than the one that was asked to go on."""


@dataclass(frozen=True)
class Checkpoints:
    """``identity`` is all that decides a run's course; a checkpoint with another one is refused."""

    folder: Path
    identity: Mapping[str, str]
    interval_s: float = DEFAULT_INTERVAL_S

    def load_last(self) -> dict[str, object] | None:
        """The newest checkpoint, on the CPU, or None where there is none. Raises ResumeError for another run's."""
        path = self.folder / "last.pt"
        if not path.is_file():
            return None
        content: dict[str, object] = torch.load(path, map_location="cpu", weights_only=True)
        began = content.get("identity")
        if not isinstance(began, dict):
            raise ResumeError(
                f"{path} is from an older version and cannot be resumed: leave out --resume to begin anew"
            )
        for name in sorted({*began, *self.identity}):
            before, now = began.get(name, "none"), self.identity.get(name, "none")
            if before != now:
                raise ResumeError(
                    f"the run in {self.folder} began with {name} {before}, not {now}: "
                    "repeat its command, or leave out --resume to begin anew"
                )
        return content

    def save_last(self, content: Mapping[str, object]) -> None:
        _save(self.folder / "last.pt", {**content, "identity": dict(self.identity)})

    def forget_best(self) -> None:
        """A run begins anew: what an earlier one kept here is not its own."""
        (self.folder / "best.pt").unlink(missing_ok=True)

    def load_best(self) -> dict[str, torch.Tensor]:
        """The network of the best epoch, on the CPU."""
        content = torch.load(self.folder / "best.pt", map_location="cpu", weights_only=True)
        best: dict[str, torch.Tensor] = content["network"]
        return best

    def save_best(self, network: Mapping[str, torch.Tensor]) -> None:
        _save(self.folder / "best.pt", {"network": network})


def _save(path: Path, content: Mapping[str, object]) -> None:
    with whole_file(path) as partial:
        torch.save(content, partial)
