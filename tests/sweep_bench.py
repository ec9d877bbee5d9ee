# SPDX-License-Identifier: Apache-2.0
"""What tests of the dashboard's sweeps share: nodes with images, two specifications, and the routes as functions."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from edge_line import Line
from nodes import PATIENCE_S, running_dashboard, until
from sweeps import Heard

from experiments.sweeps.engine import cpu_arithmetic
from experiments.sweeps.link_engine import LinkEngine
from experiments.sweeps.material import gather
from experiments.sweeps.run import SweepRun
from experiments.sweeps.spec import spec_of
from experiments.sweeps.tally import SweepTally
from service.stores.sweeps import SqliteSweepStore
from service.wire import SweepReport, SweepState

GRID = {
    "name": "grid",
    "bers": [0, 0.2],
    "seeds": [7, 8],
    "unit_images": 5,
    "images": {"data_set": "cifar100-test", "first": 1, "count": 10},
    "series": [{"system": "multi-rate", "t": [4]}, {"system": "snn-sc-harq", "bers": [0.1]}],
}
#: One frame a unit, so that the link's latency decides how long the whole takes.
LONG = {
    "name": "long",
    "bers": [0.2],
    "seeds": [7, 8],
    "unit_images": 1,
    "images": {"data_set": "cifar100-test", "count": 12},
    "series": [{"system": "multi-rate", "t": [4]}],
}
LONG_UNITS = 24
UNKNOWN = "0" * 64


@dataclass(frozen=True)
class Bench:
    """Nodes, weights and twelve images."""

    line: Line
    weights: Path
    data: Path

    @contextmanager
    def dashboard(self, folder: Path, **settings: object) -> Iterator[httpx2.Client]:
        urls = {role: str(getattr(self.line, role).base_url) for role in ("edge", "channel", "cloud")}
        store = f"sqlite://{folder / 'sweeps.sqlite3'}"
        values = {**urls, "weights": self.weights, "data": self.data, "sweep_store": store, **settings}
        with running_dashboard(**values) as http:
            yield http

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Each frame takes three seconds, so that a loaded machine still finds a sweep running."""
        self.line.channel.patch("/v1/links/forward", json={"latency_ms": 3000})
        try:
            yield
        finally:
            self.line.channel.post("/v1/reset")

    def in_process(self, spec: dict[str, object], folder: Path) -> SweepTally:
        """The same without nodes."""
        return in_process(spec, self.data, self.weights, folder)


def in_process(spec: Mapping[str, object], data: Path, weights: Path, folder: Path, workers: int = 1) -> SweepTally:
    """A sweep by the in-process link, kept in a folder; several workers are processes."""
    material = gather(spec_of(spec), data, weights)
    record = material.record(cpu_arithmetic("resnet18"))

    async def run() -> SweepTally:
        store, engine = SqliteSweepStore(folder / "link.sqlite3"), LinkEngine("resnet18", weights, workers)
        try:
            return await SweepRun(record, material.images, store, engine, Heard()).run()
        finally:
            engine.close()
            await store.close()

    return asyncio.run(run())


def start(http: httpx2.Client, spec: Mapping[str, object]) -> SweepState:
    response = http.post("/v1/sweeps", json=spec)
    assert response.status_code == 202, response.text
    return SweepState.model_validate_json(response.content)


def sweep(http: httpx2.Client, name: str) -> SweepReport:
    return SweepReport.model_validate_json(http.get(f"/v1/sweeps/{name}").raise_for_status().content)


def asked(http: httpx2.Client, name: str, what: str) -> SweepState:
    return SweepState.model_validate_json(http.post(f"/v1/sweeps/{name}/{what}").raise_for_status().content)


def completed(http: httpx2.Client, name: str, patience_s: float = PATIENCE_S) -> SweepReport:
    until(lambda: sweep(http, name).state not in ("waiting", "running"), "the end of the sweep", patience_s)
    report = sweep(http, name)
    assert (report.state, report.message) == ("complete", None)
    return report


def exported(http: httpx2.Client, name: str, form: str = "json") -> str:
    return http.get(f"/v1/sweeps/{name}/export", params={"format": form}).raise_for_status().text
