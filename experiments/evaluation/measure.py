# SPDX-License-Identifier: Apache-2.0
"""Run a pass over images, BERs and seeds, by units, in one process or several; what is finished is never repeated.

Every process computes with one thread, so the figures do not depend on how many there are.
"""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from queue import Empty
from typing import Any, Protocol

import numpy as np
import torch

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.outcomes import Outcomes, join, stack
from experiments.evaluation.parts import Parts, Spec
from experiments.evaluation.passes import PreparedImages, sender_of
from experiments.evaluation.units import UNIT_IMAGES, Unit, UnitStore, fingerprint, setting_of
from experiments.workers import end_with_the_parent
from models.allocator import keep_freed_memory
from models.threads import one_thread


class WorkerDiedError(Exception):
    """A process that measured has ended by itself; the message says what to look for."""


class Listener(Protocol):
    """Hears how a measurement goes; an image counts once at each BER and seed."""

    def begin(self, what: str, total: int) -> None:
        """A pass starts."""

    def advance(self, count: int, computed: bool) -> None:
        """So many are done; ``computed`` says whether now, or in an earlier run."""


@dataclass(frozen=True)
class Measurement:
    """Outcomes by BER, images in the order of their ids; images (at a BER and seed) a second of one process."""

    by_ber: dict[float, Outcomes]
    images_per_second: float


@dataclass(frozen=True)
class Plan:
    """Which pass, at which BERs, with which noise seeds; at BER 0 the first seed stands for all."""

    pass_name: str
    bers: tuple[float, ...]
    seeds: tuple[int, ...]

    def seeds_at(self, ber: float) -> tuple[int, ...]:
        return self.seeds if ber > 0 else self.seeds[:1]

    def cells(self) -> list[tuple[float, int]]:
        return [(ber, seed) for ber in self.bers for seed in self.seeds_at(ber)]


@dataclass(frozen=True)
class _Task:
    """Images and what is still missing of them."""

    images: LabelledImages
    units: tuple[Unit, ...]


def measure(
    spec: Spec, images: LabelledImages, plan: Plan, store: UnitStore, workers: int, listener: Listener
) -> Measurement:
    """Everything that the plan names.

    Raises WeightsError, WorkerDiedError, and ValueError where a read-only store lacks units.

    ``workers`` processes compute what the store does not have; on CUDA, which waits for them, several too.
    """
    pieces = _pieces(images.by_id())
    units = [_units(spec, piece, plan) for piece in pieces]
    listener.begin(f"{plan.pass_name}, {len(images):,} images", len(images) * len(plan.cells()))
    tasks = []
    for piece, some in zip(pieces, units, strict=True):
        absent = tuple(unit for unit in some if not store.has(unit))
        listener.advance(len(piece) * (len(some) - len(absent)), computed=False)
        tasks += [_Task(piece, absent)] if absent else []
    if tasks and store.read_only:
        missing = sum(len(task.units) for task in tasks)
        raise ValueError(
            f"{missing} units of pass {plan.pass_name} are not in {store.folder}: measure them there first"
        )
    job = _Job(spec, plan.pass_name, store)
    if min(workers, len(tasks)) <= 1:
        _here(job, tasks, listener)
    else:
        _in_processes(job, tasks, min(workers, len(tasks)), listener)
    seconds = sum(store.seconds(unit) for some in units for unit in some)
    by_ber = {ber: _outcomes(ber, units, store) for ber in plan.bers}
    return Measurement(by_ber, len(images) * len(plan.cells()) / seconds)


def _pieces(images: LabelledImages) -> list[LabelledImages]:
    rows = np.arange(len(images))
    return [images.select(rows[start : start + UNIT_IMAGES]) for start in range(0, len(images), UNIT_IMAGES)]


def _units(spec: Spec, piece: LabelledImages, plan: Plan) -> list[Unit]:
    setting, images = setting_of(spec, plan.pass_name), fingerprint(piece)
    return [Unit(plan.pass_name, ber, seed, images, setting) for ber, seed in plan.cells()]


def _outcomes(ber: float, units: Sequence[Sequence[Unit]], store: UnitStore) -> Outcomes:
    seeds = dict.fromkeys(unit.seed for unit in units[0] if unit.ber == ber)
    columns = [
        join([store.load(unit) for some in units for unit in some if (unit.ber, unit.seed) == (ber, seed)])
        for seed in seeds
    ]
    return stack(ber, columns)


@dataclass(frozen=True)
class _Job:
    """What a process needs besides its tasks."""

    spec: Spec
    pass_name: str
    store: UnitStore

    def compute(self, parts: Parts, task: _Task, done: Callable[[int], None], stops: Callable[[], bool]) -> None:
        """The units of a task until somebody ``stops``, each stored as soon as it is finished."""
        since = time.monotonic()
        prepared = PreparedImages(parts, sender_of(self.pass_name), task.images)
        for unit in task.units:
            if stops():
                return
            columns = prepared.receive(unit.ber, unit.seed)
            now = time.monotonic()
            self.store.save(unit, columns, now - since)
            since = now
            done(len(task.images))


def _here(job: _Job, tasks: Sequence[_Task], listener: Listener) -> None:
    if not tasks:
        return
    with one_thread():
        parts = job.spec.load()
        for task in tasks:
            job.compute(parts, task, lambda count: listener.advance(count, computed=True), lambda: False)


#: What a worker process keeps from task to task.
_worker: dict[str, Any] = {}


def _start_worker(job: _Job, done: "Queue[int]", stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_the_parent()
    keep_freed_memory()
    torch.set_num_threads(1)
    _worker.update(job=job, done=done, stop=stop)


def _work(task: _Task) -> None:
    if "parts" not in _worker:  # not when the process starts: an error there breaks the pool and loses what it was
        _worker["parts"] = _worker["job"].spec.load()
    _worker["job"].compute(_worker["parts"], task, _worker["done"].put, _worker["stop"].is_set)


def _in_processes(job: _Job, tasks: Sequence[_Task], workers: int, listener: Listener) -> None:
    context = get_context("spawn")
    done: Queue[int] = context.Queue()
    stop = context.Event()
    with ProcessPoolExecutor(workers, context, _start_worker, (job, done, stop)) as pool:
        waiting: set[Future[None]] = {pool.submit(_work, task) for task in tasks}
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                _drain(done, listener)
                for future in finished:
                    future.result()
        except BrokenExecutor:
            raise WorkerDiedError(
                "a worker has died: is there memory enough for all of them? The same command goes on"
            ) from None
        except BaseException:
            stop.set()  # a task takes minutes, and the pool has handed out the next ones already
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _drain(done, listener)


def _drain(done: "Queue[int]", listener: Listener) -> None:
    while True:
        try:
            listener.advance(done.get_nowait(), computed=True)
        except Empty:
            return
