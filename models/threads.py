# SPDX-License-Identifier: Apache-2.0
"""How many threads PyTorch cuts an operation between, and in which threads of a process it does so.

Shapes   none
Units    threads
Math     none
Source   measured: docs/decisions/0002 (which numbers) and 0017 (in which threads).
Differs  none
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

#: As PyTorch chose it when the process began: a thread a core, unless OMP_NUM_THREADS says otherwise.
AVAILABLE_THREADS: Final = torch.get_num_threads()


def aligned_threads(available: int = AVAILABLE_THREADS) -> int:
    """The largest power of two of at most so many threads.

    An elementwise operation is cut between threads; other numbers cut inside a vector of the processor, whose rest is
    computed by other instructions: then the batch shows in the last bits, whatever the tile.
    """
    return 1 << (available.bit_length() - 1)


def compute_with(threads: int) -> None:
    """Operations of the thread that calls this are cut between so many threads, whatever others do.

    Each thread of a process that has such operations keeps helpers of its own, and where all of them are more than the
    cores, OpenMP sends them to sleep after every operation. So one thread computes with several, all others with one.
    """
    torch.get_num_threads()  # a thread takes up the process's number when it first asks, and would do so after this
    torch.set_num_threads(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Operations inside are not cut at all, in the thread that calls this."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
