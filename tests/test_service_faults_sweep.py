# SPDX-License-Identifier: Apache-2.0
"""A sweep from the dashboard, during which each node and the store's server are killed once: it loses nothing.

Twice: a small grid with toy weights, always, and with ``SPIKELINK_LARGE_SWEEP=1`` a large one with the project's own
weights and CIFAR-100 (docs/faults.md).
"""

import asyncio
import os
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from edge_line import IMAGE, PNG
from fault_line import FaultLine, fault_line, sweep_url
from nodes import AT_ONCE, NEVER, PATIENCE_S, until
from sweep_bench import asked, completed, exported, in_process, start, sweep
from toy_cifar import write_toy_test_set

from experiments.data import cifar100
from experiments.sweeps.export import as_csv, as_json
from models.weights import WEIGHTS_FOLDER
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
PARTS: Final = ("redis", "channel", "cloud", "edge", "dashboard")

#: The same grid on a thousand images, 21 units a point.
ROOT: Final = Path(__file__).resolve().parents[1]
LARGE_SPEC: Final = ROOT / "docs" / "sweeps" / "three-thresholds.toml"
LARGE_UNITS: Final = 7 * 3 * 21
DATA: Final = Path(os.environ.get("SPIKELINK_DATA", ROOT / "data" / "cifar-100-binary"))


@dataclass(frozen=True)
class Trial:
    """A sweep, how many units end from one fault to the next, and seconds that they may take."""

    spec: Mapping[str, object]
    units: int
    units_between: int
    patience_s: float
    workers: int


SMALL: Final = Trial(SPEC, UNITS, 1, PATIENCE_S, 1)


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultLine]:
    data = tmp_path_factory.mktemp("faults")
    write_toy_test_set(data, 6)
    with fault_line(toy_folder, data) as line:
        yield line


def done(line: FaultLine, name: str) -> int:
    with line.http("dashboard") as http:
        return sweep(http, name).units_done


def grows(line: FaultLine, name: str, by: int, patience_s: float) -> None:
    """Units are finished now that were not before; and there are more to come, so that the next fault meets a run."""
    goal = done(line, name) + by
    until(lambda: done(line, name) >= goal, "further units", patience_s)
    with line.http("dashboard") as http:
        assert sweep(http, name).state == "running", "the fault would come too late"


def without_its_store(line: FaultLine) -> None:
    """Classification goes on, the sweep's own too, and both nodes that need the store say that it is away.

    The one that runs the sweep says how many results wait for it.
    """
    line.wait_for_frames(8)
    with line.http("edge") as edge:
        response = edge.post("/v1/classify", params={"seed": 3}, content=IMAGE, headers=PNG)
        assert response.status_code == 200
        assert not Classification.model_validate_json(response.content).durable
    assert readiness(line, "cloud") == (200, False, "sessions stay in memory")
    until(lambda: "of at most 500 results wait for it" in readiness(line, "dashboard")[2], "results that wait")
    status, _, sweeps = readiness(line, "dashboard")
    assert (status, sweeps.split(":")[0]) == (200, "redis")


def readiness(line: FaultLine, role: str) -> tuple[int, bool | None, str]:
    with line.http(role) as node:
        response = node.get("/readyz")
    found = response.json()
    return response.status_code, found["durable"], found["checks"]["store" if role == "cloud" else "sweeps"]


def stored_units(url: str, name: str, limit: int) -> list[str]:
    async def read() -> list[str]:
        store = RedisSweepStore(url)
        try:
            return [unit.unit for unit in await store.finished(name, limit=limit)]
        finally:
            await store.close()

    return asyncio.run(read())


def survives(line: FaultLine, trial: Trial, folder: Path) -> str:
    """The sweep with its faults is the in-process link's, byte for byte -> what it took, and what was killed when."""
    begun, killed = time.monotonic(), []
    with line.http("dashboard") as http:
        name = start(http, trial.spec).id
    for part in PARTS:
        grows(line, name, trial.units_between, trial.patience_s)
        killed.append(f"{part} at {done(line, name)}")
        line.kill(part)
        if part == "redis":
            without_its_store(line)
        line.start(part)
        if part == "dashboard":
            resumed(line, name, trial.units)
    with line.http("dashboard") as http:
        report = completed(http, name, trial.patience_s)
        with_faults_s = time.monotonic() - begun
        found = exported(http, name), exported(http, name, "csv")
    begun = time.monotonic()
    expected = in_process(trial.spec, line.data, line.weights, folder, trial.workers)
    in_process_s = time.monotonic() - begun
    assert found == (as_json(expected), as_csv(expected))
    units = stored_units(sweep_url(line.redis), name, 2 * trial.units)
    assert len(units) == report.units_done == trial.units
    assert sorted(units) == sorted(unit.name for unit in expected.record.units())
    digests = [sha256(text.encode()).hexdigest() for text in found]
    return (
        f"{len(units)} units; killed: {', '.join(killed)}; {with_faults_s:.1f} s, in process {in_process_s:.1f} s; "
        f"sha256 of the JSON {digests[0]}, of the CSV {digests[1]}"
    )


def resumed(line: FaultLine, name: str, units: int) -> None:
    """What it had measured is there; going on is asked for, as after every end of a dashboard."""
    with line.http("dashboard") as http:
        assert sweep(http, name).state == "unfinished"
        assert 0 < sweep(http, name).units_done < units
        assert asked(http, name, "resume").state in ("running", "waiting")


def test_each_process_is_killed_once(line: FaultLine, tmp_path: Path) -> None:
    survives(line, SMALL, tmp_path)


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


@pytest.mark.skipif(
    os.environ.get("SPIKELINK_LARGE_SWEEP") != "1", reason="takes minutes: SPIKELINK_LARGE_SWEEP=1 runs it"
)
def test_each_process_is_killed_once_in_a_large_sweep(tmp_path: Path) -> None:
    assert cifar100.is_there(DATA, "test"), f"no CIFAR-100 in {DATA} (or SPIKELINK_DATA)"
    spec = tomllib.loads(LARGE_SPEC.read_text(encoding="utf-8"))
    large = Trial(spec, LARGE_UNITS, LARGE_UNITS // 7, 3600, os.cpu_count() or 1)
    with fault_line(WEIGHTS_FOLDER, DATA, latency_ms=0) as line:
        print(survives(line, large, tmp_path))  # noqa: T201
