# SPDX-License-Identifier: Apache-2.0
"""``python tests/toy_python.py DATA -m MODULE ARGUMENTS``: python, with the validation split of a toy data set."""

import runpy
import sys
from pathlib import Path

from toy_cifar import held_out

from experiments.data import split

if __name__ == "__main__":
    _, data, _, module, *arguments = sys.argv
    split.validation_prefixes = lambda: held_out(Path(data))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
