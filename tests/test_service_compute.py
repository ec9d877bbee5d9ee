# SPDX-License-Identifier: Apache-2.0
"""The threads of a node that computes: all cores belong to the passes, and to nothing beside them."""

import asyncio
from threading import Barrier

import torch
from torch import Tensor

from models.inference import CPU_PIECE_ROWS, Inference
from models.threads import aligned_threads, compute_with
from service.compute import ComputeQueue
from service.hop import Deadline
from service.settings import CloudSettings
from service.telemetry import Metrics

#: More than one, and not what PyTorch chooses here by itself.
THREADS = 4


def threads_in_a_pass(x: Tensor) -> tuple[Tensor]:
    return (torch.full_like(x, torch.get_num_threads()),)


def test_small_passes_have_the_cores_and_what_waits_for_them_has_one() -> None:
    """As it stays, whatever the other threads ask for meanwhile."""
    queue = ComputeQueue(CloudSettings(stack_rows=3), THREADS, Metrics())
    inference = queue.stacked(Inference(torch.device("cpu"), tile=1))

    def both() -> tuple[int, int]:
        (inside,) = inference.run(threads_in_a_pass, torch.zeros(1))
        return int(inside), torch.get_num_threads()

    async def found() -> list[tuple[int, int]]:
        return await asyncio.gather(*(queue.run(Deadline.after(60.0), both) for _ in range(9)))

    before = torch.get_num_threads()
    assert set(asyncio.run(found())) == {(THREADS, 1)}
    assert torch.get_num_threads() == before
    queue.close()


def test_the_pieces_of_a_large_batch_are_computed_side_by_side_with_a_thread_each() -> None:
    """Each piece waits for the others, so that the test ends only where all are under way at once."""
    queue = ComputeQueue(CloudSettings(), THREADS, Metrics())
    inference = queue.stacked(Inference(torch.device("cpu"), tile=1))
    together = Barrier(THREADS)

    def threads_beside_others(x: Tensor) -> tuple[Tensor]:
        together.wait(30)
        return threads_in_a_pass(x)

    async def found() -> tuple[Tensor, ...]:
        rows = torch.zeros(THREADS * CPU_PIECE_ROWS)
        return await queue.run(Deadline.after(60.0), inference.run, threads_beside_others, rows)

    (threads,) = asyncio.run(found())
    queue.close()
    assert threads.tolist() == [1] * (THREADS * CPU_PIECE_ROWS)


def test_threads_are_a_power_of_two() -> None:
    assert [aligned_threads(cores) for cores in (1, 2, 3, 4, 6, 8, 12, 16, 96)] == [1, 2, 2, 4, 4, 8, 8, 16, 64]


def test_a_thread_keeps_its_number() -> None:
    before = torch.get_num_threads()
    compute_with(1)
    try:
        assert torch.get_num_threads() == 1
        torch.ones(1 << 20).sigmoid()
        assert torch.get_num_threads() == 1
    finally:
        compute_with(before)
    assert torch.get_num_threads() == before
