# SPDX-License-Identifier: Apache-2.0
"""Sweeps from the dashboard through real nodes: the link's figures, cancelled, restarted, refused, without a store."""

import asyncio
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import takewhile
from pathlib import Path

import httpx2
import pytest
from edge_line import running_line
from nodes import NOWHERE, metric, problem, until
from redis_server import running_redis
from sweep_bench import GRID, LONG, LONG_UNITS, UNKNOWN, Bench, asked, completed, exported, start, sweep
from test_service_dashboard_events import first, listening
from toy_cifar import write_toy_test_set

from experiments.sweeps.export import as_csv, as_json
from experiments.sweeps.http_engine import DEFAULT_PARALLEL
from experiments.sweeps.spec import spec_of
from service.nodes.dashboard.sweeps import EXAMPLE
from service.stores.sweeps import SqliteSweepStore
from service.wire import SweepState


@pytest.fixture(scope="module")
def bench(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    data = tmp_path_factory.mktemp("data")
    write_toy_test_set(data, 12)
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        yield Bench(line, toy_folder, data)


def test_a_sweep_through_the_nodes_is_one_in_process(bench: Bench, tmp_path: Path) -> None:
    expected = bench.in_process(GRID, tmp_path)
    with bench.dashboard(tmp_path) as http, listening(http) as events:
        assert first(events, "sweeps").data == {"available": True, "message": None}
        begun = start(http, GRID)
        assert (begun.id, begun.state, begun.images) == (expected.record.id, "running", 10)
        assert [SweepState.model_validate(each).id for each in http.get("/v1/sweeps").json()] == [begun.id]
        first(events, "sweep", id=begun.id, state="complete", units_done=expected.units_total)
        whole = completed(http, begun.id)
        points = first(events, "points", sweep=begun.id)
        while len(points.data["points"]) < 3 or points.data["points"] != json.loads(whole.model_dump_json())["points"]:  # type: ignore[arg-type]
            points = first(events, "points", sweep=begun.id)
        assert exported(http, begun.id) == as_json(expected)
        csv = http.get(f"/v1/sweeps/{begun.id}/export")
        assert csv.text == as_csv(expected)
        assert csv.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert csv.headers["Content-Disposition"] == f'attachment; filename="sweep-{begun.id[:12]}.csv"'
        assert start(http, GRID).state == "complete", "it is there, and nothing is left to do"


def test_what_was_finished_before_is_not_told_point_by_point(bench: Bench, tmp_path: Path) -> None:
    small = {**GRID, "bers": [0], "series": GRID["series"][:1]}  # type: ignore[index]
    with bench.dashboard(tmp_path) as http:
        old = completed(http, start(http, small).id)
    with bench.dashboard(tmp_path) as http, listening(http) as events:
        assert first(events, "sweep").data == json.loads(old.without_points().model_dump_json())
        new = start(http, {**small, "name": "another"})
        assert first(events, "points").data["sweep"] == new.id
        completed(http, new.id)


def test_a_sweep_that_the_store_has_lost_is_taken_away(bench: Bench, tmp_path: Path) -> None:
    with bench.dashboard(tmp_path) as http:
        lost = completed(http, start(http, {**GRID, "bers": [0]}).id)
        with listening(http) as events:
            assert first(events, "sweep", id=lost.id)
            with closing(sqlite3.connect(tmp_path / "sweeps.sqlite3")) as database, database:
                database.execute("DELETE FROM sweeps")
            assert first(events, "gone").data == {"sweep": lost.id}
        with listening(http) as events:
            assert "sweep" not in {event.name for event in takewhile(lambda event: event.name != "gone", events)}


def test_one_runs_and_the_others_wait(bench: Bench, tmp_path: Path) -> None:
    with bench.dashboard(tmp_path) as http:
        with bench.slow():
            running = start(http, LONG)
            waiting = [start(http, {**LONG, "name": name}) for name in ("second", "third")]
            assert [running.state, *(each.state for each in waiting)] == ["running", "waiting", "waiting"]
            assert start(http, LONG).state == "running"
            assert asked(http, waiting[0].id, "cancel").state == "cancelled"
            until(lambda: sweep(http, running.id).units_done > 0, "the first unit")
            stopped = asked(http, running.id, "cancel")
            assert stopped.state == "cancelled"
            assert 0 < stopped.units_done < LONG_UNITS
            until(lambda: sweep(http, waiting[1].id).state == "running", "its turn")
            assert sweep(http, running.id).units_done < LONG_UNITS
            assert sweep(http, waiting[0].id).units_done == 0
        assert asked(http, running.id, "resume").state in ("waiting", "running")
        completed(http, waiting[1].id)
        completed(http, running.id)
        assert sweep(http, waiting[0].id).state == "cancelled"


def cancel_elsewhere(folder: Path, name: str) -> None:
    """As ``spikelink sweep cancel`` does, on any machine that shares the store."""

    async def cancel() -> None:
        store = SqliteSweepStore(folder / "sweeps.sqlite3")
        await store.set_cancelled(name, True)
        await store.close()

    asyncio.run(cancel())


def test_cancelled_by_somebody_else(bench: Bench, tmp_path: Path) -> None:
    with bench.dashboard(tmp_path) as http, bench.slow():
        running, waiting = start(http, LONG), start(http, {**LONG, "name": "second"})
        cancel_elsewhere(tmp_path, waiting.id)
        cancel_elsewhere(tmp_path, running.id)
        last = start(http, {**LONG, "name": "last"})
        until(lambda: sweep(http, last.id).state == "running", "the end of the others")
        assert [sweep(http, each.id).state for each in (running, waiting)] == ["cancelled", "cancelled"]
        assert sweep(http, waiting.id).units_done == 0


def test_cancelled_by_somebody_else_and_resumed_in_the_line(bench: Bench, tmp_path: Path) -> None:
    second = {**LONG, "name": "second"}
    with bench.dashboard(tmp_path) as http:
        with bench.slow():
            running, waiting = start(http, LONG), start(http, second)
            for each in (running, waiting):
                cancel_elsewhere(tmp_path, each.id)
                assert sweep(http, each.id).state == "cancelled"
            assert asked(http, running.id, "resume").state == "running"
            assert start(http, second).state == "waiting"
        completed(http, running.id)
        completed(http, waiting.id)


def test_cancelled_it_gives_up_what_is_on_its_way(bench: Bench, tmp_path: Path) -> None:
    """Edge and cloud had gone on with it, and the threads that waited for the answers had stayed."""
    with bench.dashboard(tmp_path) as http, bench.slow():
        begun = start(http, LONG)
        until(lambda: sweep(http, begun.id).units_done > 0, "its first units")
        bench.line.channel.patch("/v1/links/forward", json={"latency_ms": 60_000})
        done = sweep(http, begun.id).units_done
        # Where one more has ended since, a batch is under way that will not end by itself before the edge's deadline.
        until(lambda: sweep(http, begun.id).units_done > done, "the end of a batch from before")
        until(lambda: metric(bench.line.edge, "edge_in_flight") == DEFAULT_PARALLEL, "the next batches")
        assert asked(http, begun.id, "cancel").state == "cancelled"
        until(lambda: metric(bench.line.edge, "edge_in_flight") == 0, "the edge hears of it", 10.0)
        until(lambda: not waiting_threads(), "the end of those who waited for its answers", 10.0)


def waiting_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edge_")]


def test_a_dashboard_that_ends_and_starts_again(bench: Bench, tmp_path: Path) -> None:
    expected = bench.in_process(LONG, tmp_path)
    with bench.slow(), bench.dashboard(tmp_path) as http:
        begun = start(http, LONG)
        until(lambda: sweep(http, begun.id).units_done > 0, "the first unit")
    with bench.dashboard(tmp_path) as http:
        found = sweep(http, begun.id)
        assert found.state == "unfinished"
        assert 0 < found.units_done < LONG_UNITS
        asked(http, begun.id, "resume")
        completed(http, begun.id)
        assert exported(http, begun.id) == as_json(expected)


REFUSED = [
    ({**GRID, "series": [{"system": "snn-sc-hark"}]}, 422, r"series\[0\]: there is no system 'snn-sc-hark'"),
    ({**GRID, "images": {"folder": "/tmp"}}, 422, "a folder is of this machine: name a data_set"),
    ({**GRID, "images": {"data_set": "cifar100-test", "count": 13}}, 422, "has 12 images, too few for 13"),
    ({**GRID, "images": {"data_set": "cifar100-validation"}}, 422, "no CIFAR-100 training set in"),
    ({**GRID, "seeds": ["7"]}, 422, r"seeds\[0\]: input should be a valid integer"),
    ({**GRID, "threshold": 1}, 422, "^there is no key 'threshold'$"),
    ({**GRID, "profile": "resnet50"}, 422, "profile resnet50 has no weights"),
    ({**GRID, "profile": "resnet9"}, 422, "profile: there is no 'resnet9'"),
    ({**LONG, "bers": [i / 1e5 for i in range(5000)], "seeds": [*range(50)]}, 422, "3,000,000 units of work"),
    ([GRID], 422, "body: "),
    ({**GRID, "name": "x" * 70_000}, 413, "larger than this route takes"),
]


@pytest.mark.parametrize(("spec", "status", "says"), REFUSED, ids=[each[2][:30] for each in REFUSED])
def test_what_cannot_be_run_is_refused(
    bench: Bench, dashboard: httpx2.Client, spec: object, status: int, says: str
) -> None:
    found = problem(dashboard.post("/v1/sweeps", json=spec), status).detail
    assert re.search(says, found), found
    assert "\n" not in found
    assert dashboard.get("/v1/sweeps").json() == []


@pytest.fixture(scope="module")
def dashboard(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with bench.dashboard(tmp_path_factory.mktemp("empty")) as http:
        yield http


def test_nodes_that_are_away_are_named(bench: Bench, tmp_path: Path) -> None:
    with bench.dashboard(tmp_path, edge=NOWHERE) as http:
        assert "nothing answers as the edge" in problem(http.post("/v1/sweeps", json=GRID), 502).detail
        assert http.get("/v1/sweeps").json() == []


def test_a_sweep_that_fails_says_why(bench: Bench, tmp_path: Path) -> None:
    with bench.dashboard(tmp_path) as http:
        bench.line.channel.patch("/v1/links/forward", json={"model": "bursts"})
        try:
            begun = start(http, GRID)
            until(lambda: sweep(http, begun.id).state == "unfinished", "its end")
        finally:
            bench.line.channel.patch("/v1/links/forward", json={"model": "bsc"})
        assert "the forward link flips other bits" in (sweep(http, begun.id).message or "")
        assert asked(http, begun.id, "resume").message is None
        completed(http, begun.id)


def test_what_is_not_there(dashboard: httpx2.Client) -> None:
    for method, path in (("GET", ""), ("GET", "/export"), ("POST", "/cancel"), ("POST", "/resume")):
        problem(dashboard.request(method, f"/v1/sweeps/{UNKNOWN}{path}"), 404)
        problem(dashboard.request(method, f"/v1/sweeps/{UNKNOWN[1:]}x{path}"), 422)
    problem(dashboard.get(f"/v1/sweeps/{UNKNOWN}/export?format=xml"), 422)


def test_the_example_is_a_specification(dashboard: httpx2.Client) -> None:
    assert spec_of(EXAMPLE).images.count == 240
    body = dashboard.get("/openapi.json").json()["paths"]["/v1/sweeps"]["post"]["requestBody"]
    assert body["content"]["application/json"]["examples"]["thresholds"]["value"] == EXAMPLE


def test_only_an_admin_starts_and_stops_sweeps(bench: Bench, tmp_path: Path) -> None:
    with bench.dashboard(tmp_path, token="user", admin_token="admin", edge=NOWHERE) as http:
        problem(http.get("/v1/sweeps"), 401)
        changes = ("/v1/sweeps", f"/v1/sweeps/{UNKNOWN}/cancel", f"/v1/sweeps/{UNKNOWN}/resume")
        http.headers["Authorization"] = "Bearer user"
        assert http.get("/v1/sweeps").json() == []
        for path in changes:
            problem(http.post(path, json=GRID), 401)
        http.headers["Authorization"] = "Bearer admin"
        assert [http.post(path, json=GRID).status_code for path in changes] == [502, 404, 404]
        problem(http.post("/v1/sweeps", json=GRID, headers={"Origin": "http://elsewhere.example"}), 403)


def test_the_store_goes_and_comes_back(bench: Bench, tmp_path: Path) -> None:
    with running_redis() as server:
        server.kill()
        with bench.dashboard(tmp_path, sweep_store=server.url) as http, listening(http) as events:
            ready = http.get("/readyz")
            assert ready.status_code == 200
            assert ready.json()["checks"]["page"] == "ok"
            assert ready.json()["checks"]["sweeps"].startswith("redis: ")
            away = first(events, "sweeps").data
            assert away["available"] is False
            assert str(away["message"]).startswith("redis: ")
            changes = [http.post(path, json=GRID) for path in ("/v1/sweeps", f"/v1/sweeps/{UNKNOWN}/cancel")]
            for response in (http.get("/v1/sweeps"), http.get(f"/v1/sweeps/{UNKNOWN}"), *changes):
                assert "the store of sweeps is away: redis: " in problem(response, 503).detail
                assert response.headers["Retry-After"] == "1"
            assert http.get("/v1/links").status_code == 200
            server.start()
            first(events, "sweeps", available=True)
            assert http.get("/readyz").json()["checks"] == {"page": "ok", "sweeps": "ok"}
            completed(http, start(http, GRID).id)
