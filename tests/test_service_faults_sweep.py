# SPDX-License-Identifier: Apache-2.0
"""A sweep from the dashboard, during which each node and the store's server are killed once: it loses nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_line import IMAGE, PNG
from fault_line import FaultLine, fault_line, sweep_url
from nodes import AT_ONCE, NEVER, until
from sweep_bench import asked, completed, exported, in_process, start, sweep

from experiments.sweeps.export import as_csv, as_json
from service.stores.sweeps import RedisSweepStore
from service.wire import Classification

#: The grid of issue 4, seven BERs by three thresholds, on few images.
SPEC: dict[str, object] = {
    "name": "survivor",
    "bers": [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3],
    "seeds": [7],
    "unit_images": 2,
    "images": {"data_set": "cifar100-test", "count": 4},
    "series": [{"system": "snn-sc-harq", "thresholds": [AT_ONCE, 0.05, NEVER]}],
}
UNITS = 7 * 3 * 2


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultLine]:
    with fault_line(toy_folder, tmp_path_factory.mktemp("faults")) as line:
        yield line


def done(line: FaultLine, name: str) -> int:
    with line.http("dashboard") as http:
        return sweep(http, name).units_done


def grows(line: FaultLine, name: str) -> None:
    """A unit is finished now that was not before; and there are more to come, so that the next fault meets a run."""
    before = done(line, name)
    until(lambda: done(line, name) > before, "another unit")
    with line.http("dashboard") as http:
        assert sweep(http, name).state == "running", "the fault would come too late"


def without_its_store(line: FaultLine) -> None:
    """Classification goes on, the sweep's own too, and both nodes that need the store say that it is away."""
    line.wait_for_frames(8)
    with line.http("edge") as edge:
        response = edge.post("/v1/classify", params={"seed": 3}, content=IMAGE, headers=PNG)
        assert response.status_code == 200
        assert not Classification.model_validate_json(response.content).durable
    assert readiness(line, "cloud") == (200, False, "sessions stay in memory")
    status, _, sweeps = readiness(line, "dashboard")
    assert (status, sweeps.split(":")[0]) == (200, "redis")


def readiness(line: FaultLine, role: str) -> tuple[int, bool | None, str]:
    with line.http(role) as node:
        response = node.get("/readyz")
    found = response.json()
    return response.status_code, found["durable"], found["checks"]["store" if role == "cloud" else "sweeps"]


def stored_units(url: str, name: str) -> list[str]:
    async def read() -> list[str]:
        store = RedisSweepStore(url)
        try:
            return [unit.unit for unit in await store.finished(name, limit=10 * UNITS)]
        finally:
            await store.close()

    return asyncio.run(read())


def test_each_process_is_killed_once(line: FaultLine, tmp_path: Path) -> None:
    with line.http("dashboard") as http:
        name = start(http, SPEC).id
    for part in ("redis", "channel", "cloud", "edge", "dashboard"):
        grows(line, name)
        line.kill(part)
        if part == "redis":
            without_its_store(line)
        line.start(part)
        if part == "dashboard":
            resumed(line, name)
    with line.http("dashboard") as http:
        report = completed(http, name)
        found = exported(http, name), exported(http, name, "csv")
    expected = in_process(SPEC, line.data, line.weights, tmp_path)
    assert found == (as_json(expected), as_csv(expected))
    units = stored_units(sweep_url(line.redis), name)
    assert len(units) == len(set(units)) == report.units_done == UNITS


def resumed(line: FaultLine, name: str) -> None:
    """What it had measured is there; going on is asked for, as after every end of a dashboard."""
    with line.http("dashboard") as http:
        assert sweep(http, name).state == "unfinished"
        assert 0 < sweep(http, name).units_done < UNITS
        assert asked(http, name, "resume").state in ("running", "waiting")


def test_the_results_survive_a_restart_of_every_process(line: FaultLine) -> None:
    with line.http("dashboard") as http:
        (kept,) = http.get("/v1/sweeps").json()
        before = exported(http, kept["id"])
    for part in (*line.nodes.urls, "redis"):
        line.kill(part)
    line.redis.start()
    line.nodes.start()
    with line.http("dashboard") as http:
        assert sweep(http, kept["id"]).state == "complete"
        assert exported(http, kept["id"]) == before
