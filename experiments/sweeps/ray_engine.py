# SPDX-License-Identifier: Apache-2.0
"""Units on a Ray cluster: actors that stay warm. An actor that dies is replaced, and its unit is done by another."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from experiments.data.cifar100 import LabelledImages
from experiments.sweeps.engine import EngineError, Task
from experiments.sweeps.pairing import Pairing
from experiments.sweeps.patience import Patience
from experiments.sweeps.ray_head import knock
from experiments.sweeps.ray_worker import RayWorker, Terms
from experiments.sweeps.result import UnitResult

T = TypeVar("T")

#: Units that wait for each worker, so that it finds some with its images: fewer would compute features again and again.
AHEAD: Final = 8
#: Deaths of one unit's workers, or of workers at their start in a row, that are no longer chance.
_DEATHS: Final = 3
_PAUSE_S: Final = 1.0
#: Of a head that is away; after 60 s Ray ends this process, with a message of its own.
_LONGEST_AWAY_S: Final = 15.0
#: A worker loads PyTorch first, which takes its time on a busy machine.
_START_S: Final = 120.0


class RayEngine:
    """The cluster that this process is connected to, whose head is at ``address``, with up to ``workers`` actors."""

    def __init__(
        self, address: str, terms: Terms, workers: int, patience_s: float, notice: Callable[[str], None]
    ) -> None:
        self.parallel = workers * AHEAD
        self._address, self._terms, self._workers, self._notice = address, terms, workers, notice
        self._head = Patience("Ray cluster", min(patience_s, _LONGEST_AWAY_S), notice)
        self._hands = Patience("workers", patience_s, notice)
        self._pairing: Pairing[Any] = Pairing()
        self._shipped: dict[str, tuple[Any, int]] = {}
        self._failed: asyncio.Future[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._failed_starts = 0

    async def compute(self, task: Task) -> UnitResult:
        """Raises EngineError where the cluster is gone, a worker must not count, or the unit kills its workers."""
        self._begin()
        with self._on_the_way(task.images) as (images, reference):
            for _ in range(_DEATHS):
                worker = await self._unless_failed(self._pairing.take(images))
                try:
                    result = await self._unless_failed(_result(worker.compute.remote(task.point, task.seed, reference)))
                except RayTaskError as error:
                    raise EngineError(_said(error)) from None
                except RayError as error:
                    died = _said(error)
                    self._pairing.drop(worker)
                    self._notice(f"a Ray worker is lost, its unit is done again: {died}")
                    self._in_background(self._hire)
                else:
                    self._pairing.give(worker)
                    return result
        raise EngineError(f"{_DEATHS} Ray workers in a row died of one unit: is there memory enough? {died}")

    def close(self) -> None:
        """The actors end with the connection to the cluster."""
        for task in self._background:
            task.cancel()

    def _begin(self) -> None:
        """Actors and watches, once there is an event loop."""
        if self._failed is None:
            self._failed = asyncio.get_running_loop().create_future()
            for _ in range(self._workers):
                self._in_background(self._hire)
            self._in_background(partial(self._watch, self._head, self._look_for_the_head, 0.0))
            self._in_background(partial(self._watch, self._hands, self._look_for_workers, _START_S))

    def _in_background(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            try:
                await work()
            except EngineError as error:
                assert self._failed is not None, "it was there before the first task"
                if not self._failed.done():
                    self._failed.set_exception(error)

        task = asyncio.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _unless_failed(self, step: Awaitable[T]) -> T:
        assert self._failed is not None, "it was there before the first step"
        doing = asyncio.ensure_future(step)
        try:
            either: set[asyncio.Future[Any]] = {doing, self._failed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                self._failed.result()
            return await doing
        finally:
            doing.cancel()  # does nothing to a step that is done

    async def _hire(self) -> None:
        """One more worker, as soon as the cluster has a core for it."""
        actor_class: Any = ray.remote(num_cpus=1)(RayWorker)
        while True:
            actor = actor_class.remote(self._terms)
            try:
                await actor.check.remote()
            except RayTaskError as error:
                raise EngineError(_said(error)) from None
            except RayError as error:
                self._failed_starts += 1
                if self._failed_starts >= _DEATHS:
                    raise EngineError(f"Ray workers do not start: {_said(error)}") from None
                await asyncio.sleep(_PAUSE_S)
            else:
                self._failed_starts = 0
                self._pairing.give(actor)
                return

    async def _watch(self, patience: Patience, look: Callable[[], Awaitable[None]], after_s: float) -> None:
        await asyncio.sleep(after_s)
        while True:
            try:
                await look()
            except EngineError as error:
                await patience.wait(error, _PAUSE_S)
            else:
                patience.answered()
                await asyncio.sleep(_PAUSE_S)

    async def _look_for_the_head(self) -> None:
        try:
            await asyncio.to_thread(knock, self._address, _PAUSE_S)
        except OSError:
            raise EngineError(f"the Ray cluster at {self._address} is gone") from None

    async def _look_for_workers(self) -> None:
        if not self._pairing:
            raise EngineError("the Ray cluster has no worker for this sweep: are its cores taken, or its nodes gone?")

    @contextmanager
    def _on_the_way(self, images: LabelledImages) -> Iterator[tuple[str, Any]]:
        """The images in Ray's object store, put there once for all units that are about them at a time."""
        name = sha256(images.images_NCHW.tobytes()).hexdigest()
        reference, users = self._shipped.get(name) or (ray.put(images), 0)
        self._shipped[name] = reference, users + 1
        try:
            yield name, reference
        finally:
            reference, users = self._shipped.pop(name)
            if users > 1:
                self._shipped[name] = reference, users - 1


async def _result(reference: Any) -> UnitResult:
    found: UnitResult = await reference
    return found


def _said(error: RayError) -> str:
    """In one line what Ray says in many, or what our own code on the worker said."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, EngineError):
        return str(error.cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if isinstance(error, RayTaskError) or "creation task" in lines[0] else lines[0]
