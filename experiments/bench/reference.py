# SPDX-License-Identifier: Apache-2.0
"""The fastest configuration of the in-process link on the cores at hand: what every ratio is a ratio to."""

from collections.abc import Callable, Sequence

from experiments.bench.crew import crew
from experiments.bench.link import Job
from experiments.bench.report import ReferenceRow

Layout = tuple[int, int]


def layouts(cores: int, device: str) -> list[Layout]:
    """(processes, threads): one process with all cores, and, on a CPU, one a core with one thread, as in sweeps."""
    return [(1, cores)] if cores == 1 or device == "cuda" else [(1, cores), (cores, 1)]


def throughputs(
    job: Job, layout: Layout, sizes: Sequence[int], duration_s: float, tell: Callable[[str], None]
) -> list[ReferenceRow]:
    """A row a batch size. Raises CrewError."""
    processes, threads = layout
    rows = []
    with crew(job, processes, threads) as workers:
        for size in sizes:
            tell(f"in process, {processes} x {threads} threads, batches of {size}")
            found = workers.images_per_s(size, duration_s)
            rows.append(ReferenceRow(processes=processes, threads=threads, batch=size, images_per_s=found))
    return rows
