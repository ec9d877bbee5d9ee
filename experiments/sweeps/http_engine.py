# SPDX-License-Identifier: Apache-2.0
"""Units through the three nodes: a batch of the edge's for each, several on their way at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from client import Client, NodeUnreachableError, RequestRefusedError, SpikeLinkError
from experiments.data.png import png
from experiments.sweeps.engine import EngineError, Task
from experiments.sweeps.patience import Patience
from experiments.sweeps.replies import answers_of
from experiments.sweeps.result import UnitResult
from models.inference import arithmetic_of

T = TypeVar("T")

#: Batches on their way: with one alone, edge and cloud would wait for each other in turns.
DEFAULT_PARALLEL: Final = 4
#: Full, or the edge stood still, or one of the nodes beyond it is away: it is worth asking again.
_AGAIN: Final = (408, 429, 502, 503, 504)
_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
#: Any image does; with what is sent of it at BER 0, the cloud classifies in one round, whatever codecs there are.
_PROBE: Final = png(np.zeros((3, 32, 32), dtype=np.uint8))


@dataclass(frozen=True)
class Arithmetic:
    """What edge and cloud compute with, each as its node says it."""

    edge: str
    cloud: str

    @property
    def name(self) -> str:
        """In records and units' names: as in process where both are the same."""
        return self.edge if self.edge == self.cloud else f"edge {self.edge}, cloud {self.cloud}"


class HttpEngine:
    """An edge, and the nodes beyond. ``weights_sha256`` is what it must serve: its answers do not name their weights.

    A node that is away is waited for, ``patience_s`` in one go, and then asked again what it serves and computes with.
    """

    def __init__(
        self, client: Client, profile: str, weights_sha256: str, parallel: int, patience_s: float,
        notice: Callable[[str], None],
    ) -> None:  # fmt: skip  # one line says what it needs
        self.parallel = parallel
        self._client, self._profile, self._weights_sha256 = client, profile, weights_sha256
        self._patience = Patience("nodes", patience_s, notice)
        self._pool = ThreadPoolExecutor(parallel, "edge")
        self._arithmetic: Arithmetic | None = None

    async def arithmetic(self) -> str:
        """Device, precision and tile of edge and cloud. Raises EngineError where the edge serves other weights."""
        return (await self._persist(self._look)).name

    async def compute(self, task: Task) -> UnitResult:
        """Raises EngineError where the nodes are away for too long, refuse, or disturb the channel."""

        def send() -> UnitResult:
            known = self._arithmetic
            if self._patience.away or known is None:
                known = self._look()  # they may be other processes now, with other weights
            return self._send(task, known.cloud)

        return await self._persist(send)

    def close(self) -> None:
        """No batch is sent any more; those on their way end when whoever made the client closes it."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _persist(self, call: Callable[[], T]) -> T:
        while True:
            try:
                answer = await asyncio.get_running_loop().run_in_executor(self._pool, call)
            except SpikeLinkError as error:
                if not _passes(error):
                    raise EngineError(str(error)) from None
                try:
                    await self._patience.wait(error, _pause_s(error))
                except SpikeLinkError:
                    raise EngineError(str(error)) from None
            else:
                self._patience.answered()
                return answer

    def _look(self) -> Arithmetic:
        found = Arithmetic(self._ask_edge(), self._ask_cloud())
        if self._arithmetic not in (None, found):
            raise EngineError(f"the nodes now compute with {found.name}, no longer with {self._arithmetic.name}")
        self._arithmetic = found
        return found

    def _ask_edge(self) -> str:
        info = self._client.info()
        served = {profile.name: profile for profile in info.profiles if profile.available}
        if self._profile not in served:
            raise EngineError(f"the edge does not serve profile {self._profile}")
        offered = served[self._profile]
        found = offered.weights_sha256 or "none"
        if found != self._weights_sha256:
            raise EngineError(
                f"the edge serves other weights of {self._profile}, {found[:12]} and not {self._weights_sha256[:12]}"
            )
        if info.device is None or info.dtype is None or offered.tile is None:
            raise _silent("edge")
        return arithmetic_of(info.device, info.dtype, offered.tile)

    def _ask_cloud(self) -> str:
        """By way of an image: edge and channel know the cloud, and this engine the edge alone."""
        reply = self._client.classify(_PROBE, ber=0.0, seed=0, system="bypass", profile=self._profile)
        found = reply.rounds[-1].arithmetic
        if found is None:
            raise _silent("cloud")
        return found

    def _send(self, task: Task, cloud: str) -> UnitResult:
        images_NCHW, blocks = task.distinct()
        point = task.point
        reply = self._client.classify_batch(
            [png(image) for image in images_NCHW],
            ber=point.ber,
            threshold=point.theta,
            seed=task.seed,
            blocks=blocks,
            system=point.system,
            profile=task.profile,
            t=point.t,
        )
        return task.result(answers_of(reply, task, blocks, cloud))


def _silent(role: str) -> EngineError:
    return EngineError(f"the {role} does not say what it computes with: it is of another version")


def _passes(error: SpikeLinkError) -> bool:
    """Whether it may be otherwise in a moment."""
    if isinstance(error, RequestRefusedError):
        return error.status in _AGAIN
    return isinstance(error, NodeUnreachableError)


def _pause_s(error: SpikeLinkError) -> float:
    asked_s = error.retry_after_s if isinstance(error, RequestRefusedError) else None
    return min(_PAUSE_S if asked_s is None else asked_s, _LONGEST_PAUSE_S)
