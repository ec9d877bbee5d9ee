# SPDX-License-Identifier: Apache-2.0
"""Units in process: the link that the nodes are tested against, one thread a worker."""

import asyncio
import signal
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import torch

from experiments.evaluation.parts import Spec
from experiments.sweeps.engine import Answer, EngineError, Task
from experiments.sweeps.result import UnitResult
from experiments.workers import end_with_the_parent
from models.allocator import keep_freed_memory
from models.link import InProcessLink, Request
from models.profiles import PROFILES
from models.receiver import Receiver
from models.remembering import RememberingTransmitter
from models.systems import SYSTEMS
from models.weights import WeightsError, load_cloud, load_edge

#: Features of some hundred images: the next unit has the same ones at another point, and they cost most.
_REMEMBERED_BYTES: Final = 32 * 2**20


class LinkEngine:
    """Computes on the CPU with ``workers`` processes, or in a thread of this one where that is one."""

    def __init__(self, profile: str, weights: Path, workers: int) -> None:
        self.parallel = workers
        self._spec = Spec(profile, weights)
        self._pool: Executor = (
            ThreadPoolExecutor(1, "link")
            if workers == 1
            else ProcessPoolExecutor(workers, get_context("spawn"), _prepare_worker)
        )

    async def compute(self, task: Task) -> UnitResult:
        """Raises EngineError where a worker has died or the weights are damaged."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _compute, self._spec, task)
        except BrokenExecutor:
            raise EngineError("a worker has died: is there memory enough for all of them?") from None
        except WeightsError as error:
            raise EngineError(str(error)) from None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_the_parent()
    keep_freed_memory()


@cache
def _link(spec: Spec) -> InProcessLink:
    """What a worker keeps from unit to unit."""
    torch.set_num_threads(1)  # as in the tests of exactness: another number could change a last bit
    profile, manifest, inference = PROFILES[spec.profile], spec.manifest(), spec.inference()
    transmitter = RememberingTransmitter(load_edge(profile, manifest, spec.weights), inference, _REMEMBERED_BYTES)
    return InProcessLink(profile, transmitter, Receiver(load_cloud(profile, manifest, spec.weights), inference))


def _compute(spec: Spec, task: Task) -> UnitResult:
    images_NCHW, blocks = task.distinct()
    point = task.point
    request = Request(SYSTEMS[point.system], point.ber, task.seed, tuple(blocks), point.theta, point.t)
    traces = _link(spec).run(images_NCHW, request)
    return task.result([Answer(trace.class_index, trace.bandwidth_bits) for trace in traces])
