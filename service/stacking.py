# SPDX-License-Identifier: Apache-2.0
"""Micro-batching: passes of one network that wait at the same time, of whatever session, are run as one.

A pass is a function and its tensors (models/inference.py), so sessions stack where they meet in a network: in
different rounds, of different systems, single images and batches. Whole tiles keep it out of the results: a row comes
out the same whatever lies beside it (docs/decisions/0002).
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from models.inference import Function, Inference, joined
from models.threads import aligned_threads, compute_with
from service.telemetry import Metrics
from service.turns import Turn, taken_turn

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
    """A pass that waits, since ``at_s`` in monotonic time, for as long as somebody waits for its turn."""

    kind: Kind
    inputs: Sequence[Tensor]
    at_s: float
    turn: Turn | None
    outputs: "Future[Outputs]" = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return len(self.inputs[0])


class PassQueue:
    """Lanes, threads that run passes: the first to come first, each with those of its kind that wait with it.

    There are ``threads`` lanes, which are cores. The first lane serves everything and cuts its operations between the
    cores that have nothing else to do; the others take full pieces of large batches, because cores compute more pieces
    apart than they do together (docs/decisions/0017). On a GPU nothing is a full piece, and one lane serves it.
    """

    def __init__(self, limits: Limits, threads: int, metrics: Metrics) -> None:
        self._limits, self._threads = limits, threads
        self._waiting: deque[_Pass] = deque()
        self._idle: set[int] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._rows = metrics.histogram("pass_rows", "Rows of a pass through a network", buckets=_ROW_BUCKETS)
        self._seconds = metrics.histogram("pass_seconds", "Time of a pass through a network, waiting not included")
        self._lanes = [
            threading.Thread(target=self._serve, args=(lane,), name=f"passes-{lane}", daemon=True)
            for lane in range(threads)
        ]
        for lane in self._lanes:
            lane.start()

    def run(self, inference: Inference, function: Function, inputs: Sequence[Tensor]) -> Outputs:
        """The outputs of a pass; blocks until they are there.

        Raises what the function raises, and PeerTimedOut where nobody waits for this thread's turn any more.
        """
        kind = (inference, function, tuple((x.shape[1:], x.dtype) for x in inputs))
        at_s = time.monotonic()
        pieces = [_Pass(kind, piece, at_s, taken_turn()) for piece in inference.pieces(inputs)]
        with self._changed:
            if self._closed:
                raise RuntimeError("the node has stopped computing")
            self._waiting.extend(pieces)
            self._changed.notify_all()
        return joined([piece.outputs.result() for piece in pieces])

    def close(self) -> None:
        """Run what waits, then end the lanes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for lane in self._lanes:
            lane.join()

    def _serve(self, lane: int) -> None:
        compute_with(1)
        while taken := self._next(lane):
            stack, threads = taken
            if lane == 0:
                compute_with(threads)
            self._run(stack)

    def _next(self, lane: int) -> tuple[list[_Pass], int] | None:
        """The passes to run now, and with how many threads; None where no more will come."""
        with self._changed:
            self._idle.add(lane)
            while not (stack := self._stack(lane)):
                if self._closed and not self._waiting:
                    return None
                self._changed.wait(self._ripe_in_s())
            self._idle.remove(lane)
            for taken in stack:
                self._waiting.remove(taken)
            self._changed.notify_all()  # the next lane may have something to do
            elsewhere = self._threads - len(self._idle) - 1 + sum(self._full([one]) for one in self._waiting)
            return stack, aligned_threads(max(1, self._threads - elsewhere))

    def _ripe_in_s(self) -> float | None:
        """When the first to wait for company waits no longer; None where it does not wait for that."""
        if not self._waiting or (age_s := time.monotonic() - self._waiting[0].at_s) >= self._limits.delay_s:
            return None
        return self._limits.delay_s - age_s

    def _stack(self, lane: int) -> list[_Pass]:
        """What the lane may run: of the first kind that is ready, the first to wait, and others while there is room."""
        if lane != min(self._idle):
            return []
        self._drop_unwanted()
        by_kind: dict[Kind, list[_Pass]] = {}
        for waiting in self._waiting:
            by_kind.setdefault(waiting.kind, []).append(waiting)
        for kind, passes in by_kind.items():
            if self._full(passes) or (lane == 0 and self._ripe(passes)):
                return _whole_tiles(self._that_fit(passes), kind[0].tile)
        return []

    def _drop_unwanted(self) -> None:
        """Fail the passes for which nobody waits any more."""
        for waiting in tuple(self._waiting):
            if waiting.turn and (refusal := waiting.turn.refusal()):
                self._waiting.remove(waiting)
                waiting.outputs.set_exception(refusal)
                self._changed.notify_all()  # what is left may be nothing, which ends the other lanes

    def _ripe(self, passes: list[_Pass]) -> bool:
        """Whether they need not wait for company."""
        if self._closed or sum(one.rows for one in passes) >= self._limits.rows:
            return True
        return time.monotonic() - passes[0].at_s >= self._limits.delay_s

    def _full(self, passes: list[_Pass]) -> bool:
        """Whether there are as many rows as a CPU computes at a time."""
        piece_rows = passes[0].kind[0].piece_rows
        return piece_rows is not None and sum(one.rows for one in passes) >= min(piece_rows, self._limits.rows)

    def _that_fit(self, passes: list[_Pass]) -> list[_Pass]:
        most = min(self._limits.rows, passes[0].kind[0].piece_rows or self._limits.rows)
        stack, rows = [passes[0]], passes[0].rows
        for other in passes[1:]:
            if rows + other.rows <= most:
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
        together = inference.run(function, *inputs)
        rows = [one.rows for one in stack]
        # Copies: a view would keep the rows of all the others alive for as long as one session lasts.
        shares = (torch.split(x, rows) for x in together)
        return [tuple(share.clone() for share in of_one) for of_one in zip(*shares, strict=True)]


def _whole_tiles(stack: list[_Pass], tile: int) -> list[_Pass]:
    """As many of the first as fill whole tiles, so that nothing is padded while others wait; all where none do."""
    rows = list(accumulate(one.rows for one in stack))
    return stack[: max((count for count, total in enumerate(rows, 1) if total % tile == 0), default=len(stack))]


@dataclass(frozen=True)
class StackedInference(Inference):
    """Inference whose passes go through a queue, so that those of several threads are stacked."""

    passes: PassQueue = field(kw_only=True)

    @classmethod
    def over(cls, inference: Inference, passes: PassQueue) -> "StackedInference":
        return cls(inference.device, inference.bf16, inference.tile, inference.cpu_piece_rows, passes=passes)

    def run(self, function: Function, *inputs: Tensor) -> Outputs:
        return self.passes.run(Inference(self.device, self.bf16, self.tile, self.cpu_piece_rows), function, inputs)
