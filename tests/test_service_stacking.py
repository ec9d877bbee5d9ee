# SPDX-License-Identifier: Apache-2.0
"""Micro-batching: which passes share one, that each gets its own rows back, and that errors and the end reach all."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
import torch
from nodes import until
from torch import Tensor

from models.inference import Inference
from service.stacking import Limits, PassQueue, StackedInference
from service.telemetry import Metrics

PLAIN = Inference(torch.device("cpu"), tile=1)


@dataclass(eq=False)
class Recorded:
    """A function that notes the rows of its calls; its first call waits until it may go on."""

    go_on: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    rows: list[int] = field(default_factory=list)

    def doubled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.rows.append(len(x))
        self.begun.set()
        assert self.go_on.wait(30)
        return 2 * x, x.sum(dim=1)

    def refused(self, x: Tensor) -> tuple[Tensor]:
        raise ValueError(f"{len(x)} rows")


@dataclass
class Line:
    """A queue, threads to wait in it, and a pass that keeps it busy until ``recorded.go_on``."""

    queue: PassQueue
    pool: ThreadPoolExecutor
    recorded: Recorded
    waiting: list["Future[tuple[Tensor, ...]]"] = field(default_factory=list)

    def submit(self, *shape: int, value: float = 1.0, refused: bool = False, tile: int = 1) -> None:
        """One pass more, which waits in the queue when this returns."""
        function = self.recorded.refused if refused else self.recorded.doubled
        before, how = len(self.queue._waiting), replace(PLAIN, tile=tile)
        self.waiting.append(self.pool.submit(self.queue.run, how, function, [torch.full(shape, value)]))
        until(lambda: len(self.queue._waiting) == before + 1, "a pass to wait")


@contextmanager
def busy_line(rows: int = 64) -> Iterator[Line]:
    recorded = Recorded()
    queue = PassQueue(Limits(rows, 0.0), 1, Metrics())
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(queue.run, PLAIN, recorded.doubled, [torch.ones(1, 3)])
        assert recorded.begun.wait(30)
        try:
            yield Line(queue, pool, recorded)
        finally:
            recorded.go_on.set()
        first.result(30)
        queue.close()


def test_what_waits_together_runs_together_and_each_gets_its_own_rows() -> None:
    with busy_line() as line:
        for rows in (1, 3, 2):
            line.submit(rows, 3, value=rows)
        line.recorded.go_on.set()
        for rows, waiting in zip((1, 3, 2), line.waiting, strict=True):
            doubled, total = waiting.result(30)
            assert torch.equal(doubled, torch.full((rows, 3), 2.0 * rows))
            assert torch.equal(total, torch.full((rows,), 3.0 * rows))
            assert doubled.untyped_storage().nbytes() == doubled.nbytes  # no view that keeps the others alive
    assert line.recorded.rows == [1, 6]


def test_other_shapes_and_more_rows_than_fit_wait_for_their_own_pass() -> None:
    with busy_line(rows=4) as line:
        for shape in ((2, 3), (1, 5), (1, 3), (9, 3), (1, 3)):
            line.submit(*shape)
        line.recorded.go_on.set()
        for waiting in line.waiting:
            waiting.result(30)
    assert line.recorded.rows == [1, 4, 1, 9]


def test_whole_tiles_go_first_and_what_is_over_waits_for_more() -> None:
    with busy_line() as line:
        for rows in (3, 1, 4, 1, 2):
            line.submit(rows, 3, tile=4)
        line.submit(1, 5, tile=4)
        line.recorded.go_on.set()
        for waiting in line.waiting:
            waiting.result(30)
    assert line.recorded.rows == [1, 8, 4, 4]  # with the padding: 3 + 1 + 4, then 1 + 2, then the other shape


def test_a_large_batch_is_computed_in_pieces() -> None:
    """And comes back whole, in its order."""
    rows = torch.arange(70.0).reshape(70, 1)
    with busy_line() as line:
        whole = line.pool.submit(line.queue.run, PLAIN, line.recorded.doubled, [rows])
        until(lambda: len(line.queue._waiting) == 3, "the pieces to wait")
        line.recorded.go_on.set()
        doubled, total = whole.result(30)
    assert torch.equal(doubled, 2 * rows)
    assert torch.equal(total, rows[:, 0])
    assert line.recorded.rows == [1, 32, 32, 6]


def test_an_error_reaches_all_who_shared_the_pass_and_nobody_else() -> None:
    with busy_line() as line:
        line.submit(1, 3, refused=True)
        line.submit(2, 3)
        line.submit(4, 3, refused=True)
        line.recorded.go_on.set()
        for index in (0, 2):
            with pytest.raises(ValueError, match=r"^5 rows$"):
                line.waiting[index].result(30)
        assert len(line.waiting[1].result(30)[0]) == 2


def test_a_pass_waits_for_others_until_it_is_full() -> None:
    """The delay is longer than the test may take: only a full pass goes at once."""
    recorded = Recorded()
    recorded.go_on.set()
    queue = PassQueue(Limits(3, 3600.0), 1, Metrics())
    with ThreadPoolExecutor(2) as pool:
        line = Line(queue, pool, recorded)
        line.submit(1, 3)
        waiting = [line.waiting[0], pool.submit(queue.run, PLAIN, recorded.doubled, [torch.ones(2, 3)])]
        assert [len(one.result(30)[0]) for one in waiting] == [1, 2]
    queue.close()
    assert recorded.rows == [3]


def test_what_waits_when_the_node_ends_is_still_computed() -> None:
    with busy_line() as line:
        line.submit(1, 3)
        ending = line.pool.submit(line.queue.close)
        line.recorded.go_on.set()
        ending.result(30)
        assert len(line.waiting[0].result(30)[0]) == 1
        with pytest.raises(RuntimeError, match="stopped computing"):
            line.queue.run(PLAIN, line.recorded.doubled, [torch.ones(1, 3)])


def test_stacked_inference_is_the_same_inference_with_its_lanes() -> None:
    """In precision and padding, also once a codec has asked for a larger tile, and always by the queue's threads."""
    ran = list[tuple[str, int, bool]]()

    def noted(x: Tensor) -> tuple[Tensor]:
        ran.append((threading.current_thread().name, len(x), torch.is_autocast_enabled("cpu")))
        return (3 * x,)

    plain, queue = Inference(torch.device("cpu"), bf16=True, tile=4), PassQueue(Limits(8, 0.0), 1, Metrics())
    stacked, x = StackedInference.over(plain, queue), torch.arange(6.0)[:, None]
    for own, other in ((plain, stacked), (plain.at_least(8), stacked.at_least(8))):
        assert torch.equal(own.run(noted, x)[0], other.run(noted, x)[0])
    queue.close()
    assert [(rows, bf16) for _, rows, bf16 in ran] == [(8, True)] * 4
    assert [name for name, *_ in ran][1::2] == ["passes-0", "passes-0"]
