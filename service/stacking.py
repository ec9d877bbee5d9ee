# SPDX-License-Identifier: Apache-2.0
"""Micro-batching: passes of one network that wait at the same time, of whatever session, are run as one.

A pass is a function and its tensors (models/inference.py), so sessions stack where they meet in a network: in
different rounds, of different systems, single images and batches. Whole tiles keep it out of the results: a row comes
out the same whatever lies beside it (DESIGN.md, section 3).
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.inference import Function, Inference
from models.threads import compute_with
from service.telemetry import Metrics

Outputs = tuple[Tensor, ...]
#: What must agree for passes to be stacked: how they run, the function, shape and type of each input beside the batch.
Kind = tuple[Inference, Function, tuple[tuple[torch.Size, torch.dtype], ...]]

_ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Limits:
    """Rows a pass may be stacked to, and how long the first to wait lets others join it."""

    rows: int
    delay_s: float


@dataclass(frozen=True, eq=False)
class _Pass:
    """A pass that waits, since ``at_s`` in monotonic time."""

    kind: Kind
    inputs: Sequence[Tensor]
    at_s: float
    outputs: "Future[Outputs]" = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return len(self.inputs[0])


class PassQueue:
    """One thread that runs passes, the first to come first, each with those of its kind that wait with it.

    PyTorch cuts its operations between ``threads``.
    """

    def __init__(self, limits: Limits, threads: int, metrics: Metrics) -> None:
        self._limits, self._threads = limits, threads
        self._waiting: deque[_Pass] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._rows = metrics.histogram("pass_rows", "Rows of a pass through a network", buckets=_ROW_BUCKETS)
        self._seconds = metrics.histogram("pass_seconds", "Time of a pass through a network, waiting not included")
        self._thread = threading.Thread(target=self._serve, name="passes", daemon=True)
        self._thread.start()

    def run(self, inference: Inference, function: Function, inputs: Sequence[Tensor]) -> Outputs:
        """The outputs of a pass; blocks until they are there. Raises what the function raises."""
        kind = (inference, function, tuple((x.shape[1:], x.dtype) for x in inputs))
        waiting = _Pass(kind, inputs, time.monotonic())
        with self._changed:
            if self._closed:
                raise RuntimeError("the node has stopped computing")
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.outputs.result()

    def close(self) -> None:
        """Run what waits, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        compute_with(self._threads)
        while stack := self._next():
            self._run(stack)

    def _next(self) -> list[_Pass]:
        """The passes to run now; empty where no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            left_s = self._waiting[0].at_s + self._limits.delay_s - time.monotonic()
            if left_s > 0:
                self._changed.wait_for(lambda: self._closed or self._full(), timeout=left_s)
            stack = self._stack()
            for taken in stack:
                self._waiting.remove(taken)
            return stack

    def _full(self) -> bool:
        kind = self._waiting[0].kind
        return sum(other.rows for other in self._waiting if other.kind == kind) >= self._limits.rows

    def _stack(self) -> list[_Pass]:
        """The first to wait, and others of its kind as long as there is room."""
        first = self._waiting[0]
        stack, rows = [first], first.rows
        for other in list(self._waiting)[1:]:
            if other.kind == first.kind and rows + other.rows <= self._limits.rows:
                stack.append(other)
                rows += other.rows
        return stack

    def _run(self, stack: list[_Pass]) -> None:
        try:
            with self._seconds.time():
                parts = self._outputs(stack)
        except Exception as error:  # it belongs to those who wait
            for failed in stack:
                failed.outputs.set_exception(error)
            return
        self._rows.observe(sum(done.rows for done in stack))
        for done, outputs in zip(stack, parts, strict=True):
            done.outputs.set_result(outputs)

    def _outputs(self, stack: list[_Pass]) -> list[Outputs]:
        inference, function, _ = stack[0].kind
        if len(stack) == 1:
            return [inference.run(function, *stack[0].inputs)]
        inputs = (torch.cat(parts) for parts in zip(*(one.inputs for one in stack), strict=True))
        joined = inference.run(function, *inputs)
        rows = [one.rows for one in stack]
        # Copies: a view would keep the rows of all the others alive for as long as one session lasts.
        shares = (torch.split(x, rows) for x in joined)
        return [tuple(share.clone() for share in of_one) for of_one in zip(*shares, strict=True)]


@dataclass(frozen=True)
class StackedInference(Inference):
    """Inference whose passes go through a queue, so that those of several threads are stacked."""

    passes: PassQueue = field(kw_only=True)

    @classmethod
    def over(cls, inference: Inference, passes: PassQueue) -> "StackedInference":
        return cls(inference.device, inference.bf16, inference.tile, passes=passes)

    def run(self, function: Function, *inputs: Tensor) -> Outputs:
        return self.passes.run(Inference(self.device, self.bf16, self.tile), function, inputs)
