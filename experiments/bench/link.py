# SPDX-License-Identifier: Apache-2.0
"""The in-process link in a measuring process: how fast with batches of a size, and what a round's networks take."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from channel.bits import Bits
from experiments.bench.items import BER, SYSTEM, Items
from experiments.bench.statistics import Span
from experiments.evaluation.parts import CPU_ROWS
from models.allocator import keep_freed_memory
from models.frames import Frame
from models.inference import Inference, inference_device
from models.link import InProcessLink, Request
from models.parts import EdgeNetworks
from models.profiles import PROFILES
from models.receiver import Receiver
from models.systems import SYSTEMS
from models.transmitter import Transmitter, TransmitterState
from models.weights import load_cloud, load_edge, read_manifest


@dataclass(frozen=True)
class Job:
    """What is sent over which link; device, precision and tile are those of the nodes."""

    weights: Path
    profile: str
    device: str
    bf16: bool
    tile: int
    items: Items


@dataclass(frozen=True)
class ThroughputOrder:
    """Batches of a size, one after the other until the time is over."""

    batch: int
    duration_s: float


@dataclass(frozen=True)
class RoundsOrder:
    """An item alone."""

    row: int


@dataclass(frozen=True)
class TimedInference(Inference):
    """Notes how long each call took, and how many there had been when each frame was begun.

    Calls are the only way to run a network: what is not in here is no model computation.
    """

    laps_ms: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def run(self, function: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> tuple[Tensor, ...]:
        began_s = time.perf_counter()
        outputs = super().run(function, *inputs)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.laps_ms.append(1000 * (time.perf_counter() - began_s))
        return outputs


class _Marking(Transmitter):
    """Tells its inference when a frame begins."""

    def __init__(self, networks: EdgeNetworks, inference: TimedInference) -> None:
        super().__init__(networks, inference)
        self._timed = inference

    def encode(self, state: TransmitterState, frame: Frame) -> tuple[Bits, TransmitterState]:
        self._timed.frames.append(len(self._timed.laps_ms))
        return super().encode(state, frame)


class LinkBench:
    """A link with so many PyTorch threads. Raises WeightsError, ValueError where there is no such device."""

    def __init__(self, job: Job, threads: int) -> None:
        keep_freed_memory()
        torch.set_num_threads(threads)
        self._items = job.items
        device = inference_device(job.device)
        profile, manifest = PROFILES[job.profile], read_manifest(job.profile, job.weights)
        self._theta = manifest.thresholds[SYSTEM]
        edge, cloud = load_edge(profile, manifest, job.weights), load_cloud(profile, manifest, job.weights)
        plain = Inference(device, job.bf16, job.tile, CPU_ROWS)
        self._timed = TimedInference(device, job.bf16, job.tile)
        self._link = InProcessLink(profile, Transmitter(edge, plain), Receiver(cloud, plain))
        self._timed_link = InProcessLink(profile, _Marking(edge, self._timed), Receiver(cloud, self._timed))

    def throughput(self, order: ThroughputOrder) -> list[Span]:
        """The batches, after one that does not count."""
        self._run(self._link, range(order.batch))
        end_s, spans = time.monotonic() + order.duration_s, list[Span]()
        while not spans or time.monotonic() < end_s:
            rows, begun_s = self._items.rows(len(spans), order.batch), time.monotonic()
            self._run(self._link, rows)
            spans.append(Span(begun_s, time.monotonic(), order.batch))
        return spans

    def rounds_ms(self, order: RoundsOrder) -> list[float]:
        """What the networks took in each round of the item; the feature belongs to the first."""
        self._timed.laps_ms.clear()
        self._timed.frames.clear()
        self._run(self._timed_link, range(order.row, order.row + 1))
        bounds = [0, *self._timed.frames[1:], len(self._timed.laps_ms)]
        return [sum(self._timed.laps_ms[low:high]) for low, high in pairwise(bounds)]

    def _run(self, link: InProcessLink, rows: range) -> None:
        images_BCHW = self._items.images_NCHW[rows.start : rows.stop]
        link.run(images_BCHW, Request(SYSTEMS[SYSTEM], BER, self._items.seed, tuple(rows), self._theta))
