# SPDX-License-Identifier: Apache-2.0
"""The load generator and its statistics: against NumPy, sums by hand, and a server that stalls."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from pydantic import TypeAdapter

from client import Node
from experiments.bench import load
from experiments.bench.arrivals import schedule
from experiments.bench.load import Samples, closed_loop, open_loop
from experiments.bench.statistics import Span, items_per_s, latency_of

ANSWER: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
STALL_S = 0.6


class Stalling(HTTPServer):
    """One request after the other; the first takes ``STALL_S``, the path ``/full`` is refused."""

    stalled = False
    request_queue_size = 64


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection a request: a kept one would shut out all the others

    def do_GET(self) -> None:
        assert isinstance(self.server, Stalling)
        if not self.server.stalled:
            self.server.stalled = True
            time.sleep(STALL_S)
        full = self.path == "/full"
        body = b'{"title": "busy", "status": 429, "detail": "full"}' if full else b'{"status": "ok"}'
        self.send_response(429 if full else 200)
        self.send_header("Content-Type", "application/problem+json" if full else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not into the test's output."""


@contextmanager
def stalling_node() -> Iterator[Node]:
    server = Stalling(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with Node(f"http://127.0.0.1:{server.server_port}", timeout_s=30) as node:
            yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("most", [256, 1], ids=["all on their way", "one connection"])
def test_a_stall_counts_for_everyone_who_was_due_meanwhile(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for those that could not even be sent: that is what a closed loop, below, leaves out."""
    monkeypatch.setattr(load, "MOST_CONNECTIONS", most)
    due = schedule("uniform", 40.0, 0.5, seed=0)
    with stalling_node() as node:
        samples = open_loop(lambda _: node.health(), due, 0.5)
    assert (len(samples.succeeded), samples.failures()) == (20, {})
    for sample, due_s in zip(samples.all, due, strict=True):
        assert sample.due_s == samples.begin_s + due_s
        assert sample.latency_ms >= 1000 * (STALL_S - due_s)
    slow = [sample for sample in samples.all if sample.latency_ms > 90]
    assert len(slow) == 20  # the last is due at 0.475 s
    if most == 1:
        assert np.median([sample.ended_s - sample.sent_s for sample in samples.all[1:]]) < STALL_S / 2


def test_in_a_closed_loop_one_request_alone_meets_the_stall() -> None:
    with stalling_node() as node:
        samples = closed_loop(lambda _: node.health(), 1, 1.0)
    assert samples.latencies_ms[0] >= 1000 * STALL_S
    assert len(samples.all) > 2
    assert np.median(samples.latencies_ms[1:]) < 1000 * STALL_S / 2


def test_refusals_are_counted_by_status_and_dropped_nowhere() -> None:
    with stalling_node() as node:

        def send(number: int) -> dict[str, str]:
            return node.request("GET", "/full" if number % 3 == 1 else "/fine", ANSWER)

        samples = open_loop(send, [0.0] * 9, 0.1)
    assert samples.failures() == {"429": 3}
    assert (len(samples.all), len(samples.latencies_ms), len(samples.replies)) == (9, 6, 6)
    with Node("http://127.0.0.1:9") as nobody:
        assert closed_loop(lambda _: nobody.health(), 2, 0.0).failures() == {"unreachable": 2}


def test_what_is_no_failure_of_the_nodes_ends_the_level() -> None:
    def broken(number: int) -> None:
        raise KeyError(number)

    with pytest.raises(KeyError):
        closed_loop(broken, 4, 60.0)
    began_s = time.monotonic()
    with pytest.raises(KeyError):
        open_loop(broken, [0.0, 50.0, 50.0], 60.0)
    assert time.monotonic() - began_s < 30


def test_a_closed_loop_has_as_many_on_their_way_as_it_says() -> None:
    """Each request waits until eight are there: fewer connections would wait for ever."""
    together = threading.Barrier(8, timeout=30)
    samples = closed_loop(lambda _: together.wait(), 8, 0.0)
    assert len(samples.all) == 8
    assert sorted(samples.replies) == list(range(8))


@pytest.mark.parametrize("kind", ["uniform", "poisson"])
def test_a_schedule_offers_its_rate_and_is_the_same_again(kind: str) -> None:
    assert kind in ("uniform", "poisson")
    due = schedule(kind, 250.0, 8.0, seed=3)
    assert due == sorted(due)
    assert (len(due), due[0] >= 0, due[-1] < 8) == (2000, True, True)
    assert schedule(kind, 250.0, 8.0, seed=3) == due
    gaps = np.diff(due)
    if kind == "uniform":
        assert gaps == pytest.approx(0.004)
    else:
        assert schedule(kind, 250.0, 8.0, seed=4) != due
        # Exponential gaps: the deviation is the mean, and 1/e of them are longer; allow five deviations of either.
        assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=5 / 2000**0.5)
        assert (gaps > gaps.mean()).mean() == pytest.approx(np.exp(-1), abs=5 * 0.483 / 2000**0.5)
    assert len(schedule(kind, 0.1, 1.0, seed=0)) == 1


def test_percentiles_are_numpys() -> None:
    values = list(np.random.default_rng(5).exponential(20.0, 1001))
    found = latency_of(values)
    assert found is not None
    assert (found.count, found.max_ms) == (1001, max(values))
    ordered = sorted(values)
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == pytest.approx((ordered[500], ordered[950], ordered[990]))
    assert found.mean_ms == pytest.approx(sum(values) / 1001)
    assert latency_of([]) is None


def test_work_counts_with_its_share_inside_the_level() -> None:
    """Between 10 s and 14 s: one whole of 8, a quarter of 4, half of 6, none of the last."""
    spans = [Span(11, 12, 8), Span(9, 10.25, 5), Span(13, 15, 6), Span(14, 16, 99)]
    assert items_per_s(spans, 10.0, 14.0) == pytest.approx((8 + 5 * 0.25 / 1.25 + 3) / 4)
    assert items_per_s([], 0.0, 2.0) == 0
    done = Samples(0.0, 1.0, ())
    assert (done.spans(3), done.failures(), done.latencies_ms) == ([], {}, [])
