# SPDX-License-Identifier: Apache-2.0
"""Run ``spikelink ARGUMENTS`` on a toy data set and kill the process, with SIGKILL, where the first arguments say.

python tests/killed_training.py DATA step|checkpoint|export N ARGUMENTS...
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from toy_cifar import held_out

from cli.app import main
from experiments.data import split
from experiments.training import export, loop


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nth(call: Callable[..., Any], n: int, last: Callable[..., None]) -> Callable[..., Any]:
    """The call itself, but ``last`` at its n-th time."""
    left = [n]

    def counted(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            last(*args, **kwargs)
        return call(*args, **kwargs)

    return counted


def half_a_checkpoint(content: object, path: Path) -> None:
    save(content, path)
    os.truncate(path, path.stat().st_size // 2)
    die()


save = torch.save
if __name__ == "__main__":
    data, where, count, *arguments = sys.argv[1:]
    split.validation_prefixes = lambda: held_out(Path(data))
    match where:
        case "step":
            loop.Run._step = nth(loop.Run._step, int(count), lambda *_: die())
        case "checkpoint":
            torch.save = nth(torch.save, int(count), half_a_checkpoint)
        case "export":
            export._write = nth(export._write, int(count), lambda *_: die())
    main(["train", *arguments, "--data", data])
