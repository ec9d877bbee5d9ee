# SPDX-License-Identifier: Apache-2.0
"""Two clouds behind ports, sharing a real Redis: the receiver as receiver_benches.py has it, through HTTP."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import httpx2
from manual_clock import ManualClock
from nodes import Cloud, metric, running_cloud
from receiver_benches import InRedis
from receiver_model import TILE, TTL_S, Arrival, Event, Reply
from redis_server import running_redis

from service.nodes.cloud.engine import StateCache
from service.nodes.cloud.record import SessionRecord, decode
from service.stores import ResilientStore
from service.wire import FrameAnswer, Problem, ResultAnswer

REPLICAS = 2


class HttpBench:
    """The two of them. They live longer than one example: sessions have names of their own."""

    size, forgetful = REPLICAS, False

    def __init__(self, folder: Path, store: InRedis) -> None:
        self.clock, self.store, self._folder = ManualClock(), store, folder
        self._lives = [ExitStack() for _ in range(REPLICAS)]
        self.clouds = [self._start(replica) for replica in range(REPLICAS)]
        self._counted_before = 0.0

    def ask(self, calls: Sequence[tuple[int, Event]]) -> list[Reply]:
        """All at once."""
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(lambda call: _asked(self.clouds[call[0]], call[1]), calls))

    def post(self, replica: int, headers: dict[str, str], content: bytes) -> Reply:
        """A frame with headers of any text."""
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return _read(self.clouds[replica].http.post("/v1/frames", content=content, headers=encoded))

    def pass_time(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.store.passed(seconds)

    def crash(self, replica: int) -> None:
        """It starts again with nothing but the store."""
        self._counted_before += self._counted(replica)
        self._lives[replica].close()
        self.clouds[replica] = self._start(replica)

    def record(self, session: str) -> SessionRecord | None:
        stored = self.clouds[0].record(session)
        return None if stored is None else decode(stored.value)

    def counted_bits(self) -> float:
        """Payload bits that all replicas have ever counted."""
        return self._counted_before + sum(map(self._counted, range(REPLICAS)))

    def left_over(self) -> list[str]:
        """What is still held besides one session a replica that has ended."""
        state = sum(metric(cloud.http, "cloud_cache_bytes") for cloud in self.clouds)
        records = self.store.records()
        return [f"{state:g} bytes of state"] * (state > 0) + [f"{records} records"] * (records > REPLICAS)

    def close(self) -> None:
        """Between two examples: nothing."""

    def stop(self) -> None:
        for life in self._lives:
            life.close()

    def _counted(self, replica: int) -> float:
        return metric(self.clouds[replica].http, "cloud_payload_bits_total")

    def _start(self, replica: int) -> Cloud:
        with (
            patch("service.nodes.cloud.app.ResilientStore", partial(ResilientStore, clock=self.clock)),
            patch("service.nodes.cloud.app.StateCache", partial(StateCache, clock=self.clock)),
        ):
            cloud = running_cloud(self._folder, self.store.url, session_ttl_s=TTL_S, tile=TILE, stack_rows=TILE)
            return self._lives[replica].enter_context(cloud)


@contextmanager
def http_bench(folder: Path) -> Iterator[HttpBench]:
    """Both replicas and their Redis."""
    with running_redis() as server:
        bench = HttpBench(folder, InRedis(server.url))
        try:
            yield bench
        finally:
            bench.stop()


def _asked(cloud: Cloud, event: Event) -> Reply:
    if isinstance(event, Arrival):
        return _read(cloud.post(event.frame))
    return _read(cloud.result(event.session, *event.blocks))


def _read(response: httpx2.Response) -> Reply:
    if response.status_code != 200:
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = Problem.model_validate_json(response.content)
        assert problem.status == response.status_code
        expected = (problem.model_extra or {}).get("expected_round")
        assert expected is None or isinstance(expected, int)
        return Reply(problem.status, expected_round=expected)
    if response.url.path.endswith("/result"):
        return Reply(200, results=ResultAnswer.model_validate_json(response.content).results)
    answer = FrameAnswer.model_validate_json(response.content)
    return Reply(200, answer.answers, crossover=answer.crossover, replayed=answer.replayed)
