# SPDX-License-Identifier: Apache-2.0
"""How many requests a caller may send: the arithmetic, and 429 at edge and dashboard."""

from pathlib import Path

import httpx2
import pytest
from manual_clock import ManualClock
from nodes import NOWHERE, metric, png, problem, running_dashboard, running_edge
from toy import toy_images

from service import limits
from service.limits import Allowance
from service.settings import DashboardSettings, EdgeSettings

IMAGE = png(toy_images(1, seed=12)[0])
PNG = {"Content-Type": "image/png"}
ABSENT = "0" * 64


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_as_many_at_once_as_in_a_period_and_no_more(clock: ManualClock) -> None:
    allowance = Allowance(5, 60.0, clock)
    assert [allowance.take("a") for _ in range(5)] == [0.0] * 5
    assert allowance.take("a") == pytest.approx(12.0)
    clock.now_s += 11.9
    assert allowance.take("a") == pytest.approx(0.1)
    clock.now_s += 0.1 + 1e-6
    assert allowance.take("a") == 0.0
    assert allowance.take("a") > 11.9, "one at a time once the store is used up"


def test_what_is_not_used_is_kept_for_one_period_alone(clock: ManualClock) -> None:
    allowance = Allowance(3, 1.0, clock)
    clock.now_s += 1e6
    assert [allowance.take("a") == 0.0 for _ in range(4)] == [True, True, True, False]


def test_over_a_long_time_the_rate_holds(clock: ManualClock) -> None:
    allowance, let_in = Allowance(2.5, 1.0, clock), 0
    for _ in range(10_000):  # 100 s of a caller who never waits
        let_in += allowance.take("a") == 0.0
        clock.now_s += 0.01
    assert let_in == pytest.approx(2.5 * 100, abs=3)


def test_callers_do_not_take_from_one_another(clock: ManualClock) -> None:
    allowance = Allowance(1, 60.0, clock)
    assert allowance.take("a") == 0.0
    assert allowance.take("a") > 0
    assert allowance.take("b") == 0.0


def test_a_rate_below_one_still_lets_one_in(clock: ManualClock) -> None:
    allowance = Allowance(0.5, 60.0, clock)
    assert allowance.take("a") == 0.0
    assert allowance.take("a") == pytest.approx(120.0)


def test_many_callers_take_no_more_memory_than_that(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CALLERS", 3)
    allowance = Allowance(1, 60.0, clock)
    for caller in "abca":
        allowance.take(caller)
    assert allowance.take("d") == 0.0
    assert allowance.take("a") > 0, "the one that was silent for longest is forgotten, not the one that asks"
    assert allowance.take("b") == 0.0
    assert len(allowance._buckets) == 3


def again_s(response: httpx2.Response) -> int:
    assert "may send" in problem(response, 429).detail
    return int(response.headers["Retry-After"])


def ask(edge: httpx2.Client, path: str = "/v1/classify") -> httpx2.Response:
    return edge.post(path, content=IMAGE, headers=PNG)


def test_the_edge_limits_a_caller(toy_folder: Path) -> None:
    """Behind it nobody answers: what is let in fails later than what is refused."""
    with running_edge(toy_folder, NOWHERE, classify_per_s=0.01, deadline_s=0.5) as (edge, _):
        assert ask(edge).status_code in (502, 504)
        for path in ("/v1/classify", "/v1/classify/batch", "/v1/classify?seed=1"):
            assert 90 < again_s(ask(edge, path)) <= 100
        assert metric(edge, "refused_requests_total", status="429") == 3
        for path in ("/healthz", "/v1/info", "/docs", "/openapi.json"):
            assert edge.get(path).status_code == 200


def test_a_token_is_one_caller_and_guessing_takes_nothing_from_it(toy_folder: Path) -> None:
    with running_edge(toy_folder, NOWHERE, token="of-the-nodes", classify_per_s=0.01, deadline_s=0.5) as (edge, _):
        for _ in range(3):
            problem(ask(edge), 401)
        edge.headers["Authorization"] = "Bearer of-the-nodes"
        assert ask(edge).status_code in (502, 504)
        edge.headers["X-Forwarded-For"] = "192.0.2.7"
        assert again_s(ask(edge)) > 90


def test_the_dashboard_limits_who_starts_sweeps() -> None:
    with running_dashboard(edge=NOWHERE, token="all", admin_token="admin", sweeps_per_min=2) as http:
        http.headers["Authorization"] = "Bearer admin"
        problem(http.post("/v1/sweeps", json={}), 422)
        problem(http.post(f"/v1/sweeps/{ABSENT}/resume"), 404)
        for path in ("/v1/sweeps", f"/v1/sweeps/{ABSENT}/resume"):
            assert 1 <= again_s(http.post(path, json={})) <= 30
        problem(http.post(f"/v1/sweeps/{ABSENT}/cancel"), 404)
        assert http.get("/v1/sweeps").status_code == 200
        http.headers["Authorization"] = "Bearer all"
        problem(http.post("/v1/sweeps", json={}), 401)


def test_nothing_is_limited_on_loopback_unless_it_is_asked_for() -> None:
    away = {"host": "192.0.2.7", "token": "secret"}
    assert EdgeSettings().allowed_per_s() == DashboardSettings().allowed_per_min() == 0
    assert EdgeSettings.model_validate(away).allowed_per_s() == 50
    assert DashboardSettings.model_validate(away).allowed_per_min() == 10
    assert EdgeSettings(classify_per_s=7).allowed_per_s() == DashboardSettings(sweeps_per_min=7).allowed_per_min() == 7
    assert EdgeSettings.model_validate({**away, "classify_per_s": 0}).allowed_per_s() == 0
    assert DashboardSettings.model_validate({**away, "sweeps_per_min": 0}).allowed_per_min() == 0


def test_without_a_limit_nobody_waits(toy_folder: Path) -> None:
    with running_edge(toy_folder, NOWHERE) as (edge, _):
        statuses = {edge.post("/v1/classify", content=b"").status_code for _ in range(200)}
    assert statuses == {415}
