# SPDX-License-Identifier: Apache-2.0
"""The dashboard before real nodes: what it serves, passes on and refuses, and what it says where a node is down."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from edge_line import IMAGE, PNG, Line, running_line
from event_stream import reading
from nodes import NOWHERE, problem, running_channel, running_dashboard

from service.nodes.dashboard.files import HEADERS
from service.wire import Classification, LinkCounters, NodeReport, RoundReport, Start

TERMS = {"ber": "0.2", "seed": "5"}


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        yield line


@pytest.fixture(scope="module")
def dashboard(line: Line) -> Iterator[httpx2.Client]:
    urls = {role: str(getattr(line, role).base_url) for role in ("edge", "channel", "cloud")}
    with running_dashboard(**urls) as http:
        yield http


def reports(http: httpx2.Client) -> dict[str, NodeReport]:
    return {entry["role"]: NodeReport.model_validate(entry) for entry in http.get("/v1/nodes").json()}


@pytest.mark.parametrize("path", ["/", "/index.html", "/main.js", "/style.css", "/vendor/d3.min.js"])
def test_the_page_comes_with_its_policy(dashboard: httpx2.Client, path: str) -> None:
    response = dashboard.get(path)
    assert response.status_code == 200
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert dashboard.get(path, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("path", ["/absent.js", "/../app.py", "/%2e%2e/app.py", "/vendor/../../app.py"])
def test_nothing_but_the_page_is_served(dashboard: httpx2.Client, path: str) -> None:
    problem(dashboard.get(path), 404)


def test_it_is_a_node_like_the_others(dashboard: httpx2.Client) -> None:
    assert dashboard.get("/healthz").json() == {"status": "ok", "role": "dashboard"}
    assert dashboard.get("/readyz").json()["ready"]
    assert dashboard.get("/v1/info").json()["role"] == "dashboard"
    assert dashboard.get("/metrics").status_code == 200
    assert "/v1/classify" in dashboard.get("/openapi.json").json()["paths"]


def test_nodes_are_told_with_what_they_serve(dashboard: httpx2.Client) -> None:
    found = reports(dashboard)
    assert list(found) == ["edge", "channel", "cloud", "dashboard"]
    assert {report.health for report in found.values()} == {"ready"}
    assert found["edge"].info is not None
    assert found["edge"].info.profiles[0].weights_sha256


def test_a_node_that_is_down_is_told_in_words(line: Line) -> None:
    with running_dashboard(edge=NOWHERE, channel=str(line.channel.base_url), cloud=str(line.edge.base_url)) as http:
        found = reports(http)
        assert http.get("/readyz").status_code == 200, "the page is what shows it"
        refusal = http.post("/v1/classify", content=IMAGE, headers=PNG)
    assert found["edge"].health == "down"
    assert "cannot be reached" in (found["edge"].failure or "")
    assert found["channel"].health == "ready"
    assert found["cloud"].failure == f"what answers at {line.edge.base_url!s} is the edge node"
    assert "cannot be reached" in problem(refusal, 502).detail


def test_a_classification_is_the_edges_own(dashboard: httpx2.Client, line: Line) -> None:
    response = dashboard.post("/v1/classify", params=TERMS, content=IMAGE, headers=PNG)
    assert response.headers["Content-Type"] == "application/json"
    ours = Classification.model_validate_json(response.content)
    theirs = line.classify(ber=0.2, seed=5)
    assert ours.top == theirs.top
    assert [r.flipped_bits for r in ours.rounds] == [r.flipped_bits for r in theirs.rounds]


def test_events_are_passed_on(dashboard: httpx2.Client) -> None:
    with reading(dashboard, IMAGE, **TERMS, threshold="1") as events:
        assert events.response.headers["Content-Type"].startswith("text/event-stream")
        start, *rounds, result = events.rest()
    assert isinstance(start, Start)
    assert [type(each) for each in rounds] == [RoundReport] * 5
    assert isinstance(result, Classification)
    assert result.rounds == tuple(rounds)


def test_a_refusal_of_the_edge_is_handed_on(dashboard: httpx2.Client) -> None:
    assert "t" in problem(dashboard.post("/v1/classify?system=multi-rate", content=IMAGE, headers=PNG), 422).detail
    problem(dashboard.post("/v1/classify", content=b"no image", headers={"Content-Type": "text/plain"}), 415)


def test_links_are_changed_and_reset(dashboard: httpx2.Client, line: Line) -> None:
    changed = dashboard.patch("/v1/links/forward", json={"ber": 0.125, "latency_ms": 1})
    assert LinkCounters.model_validate_json(changed.content).ber == 0.125
    assert dashboard.get("/v1/links").json() == line.channel.get("/v1/links").json()
    assert dashboard.post("/v1/reset").json()[0]["ber"] == 0
    problem(dashboard.patch("/v1/links/sideways", json={"ber": 0.1}), 404)
    problem(dashboard.patch("/v1/links/forward", json={"ber": 0.7}), 422)
    problem(dashboard.patch("/v1/links/forward", json={"bre": 0.1}), 422)


def test_the_channel_gets_the_admin_token(tmp_path: Path) -> None:
    (tmp_path / "admin").write_text("of-the-admin\n")
    with running_channel(NOWHERE, token="of-the-nodes", admin_token="of-the-admin") as channel:
        url = str(channel.base_url)
        with running_dashboard(channel=url, token="of-the-nodes") as http:
            http.headers["Authorization"] = "Bearer of-the-nodes"
            problem(http.patch("/v1/links/forward", json={"ber": 0.1}), 401)
        admin = {"token": "of-the-nodes", "admin_token_file": tmp_path / "admin"}
        with running_dashboard(channel=url, **admin) as http:
            http.headers["Authorization"] = "Bearer of-the-nodes"
            assert http.get("/v1/links").status_code == 200
            problem(http.patch("/v1/links/forward", json={"ber": 0.1}), 401)
            problem(http.post("/v1/reset"), 401)
            http.headers["Authorization"] = "Bearer of-the-admin"
            assert http.get("/v1/links").json()[0]["ber"] == 0
            assert http.patch("/v1/links/forward", json={"ber": 0.1}).json()["ber"] == 0.1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(dashboard: httpx2.Client, headers: dict[str, str]) -> None:
    problem(dashboard.patch("/v1/links/forward", json={"ber": 0.1}, headers=headers), 403)
    problem(dashboard.post("/v1/reset", headers=headers), 403)
    problem(dashboard.post("/v1/classify", content=IMAGE, headers={**PNG, **headers}), 403)
    assert dashboard.get("/v1/links").json()[0]["ber"] == 0


def test_its_own_page_may(dashboard: httpx2.Client) -> None:
    own = {"Origin": str(dashboard.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert dashboard.post("/v1/reset", headers=own).status_code == 200


def test_without_a_token_it_has_no_name_but_localhost(dashboard: httpx2.Client) -> None:
    """Another site could make its own name point here; its requests would then be this site's own."""
    for host in ("rebound.example", "rebound.example:8000", "localhost.example"):
        own = {"Host": host, "Origin": f"http://{host}"}
        problem(dashboard.get("/v1/nodes", headers=own), 403)
        problem(dashboard.post("/v1/reset", headers=own), 403)
    for host in ("localhost:8000", "192.0.2.7", "[::1]:8000"):
        assert dashboard.get("/v1/links", headers={"Host": host}).status_code == 200


def test_with_a_token_the_page_itself_is_open_and_what_it_asks_for_is_not(line: Line) -> None:
    with running_dashboard(channel=str(line.channel.base_url), token="secret") as http:
        for path in ("/", "/main.js", "/vendor/d3.min.js"):
            assert http.get(path).status_code == 200
        for path in ("/v1/links", "/v1/events", "/v1/reference", "/v1/nodes", "/v1/nothing"):
            refusal = http.get(path)
            problem(refusal, 401)
            assert refusal.headers["WWW-Authenticate"] == "Bearer"
        problem(http.post("/v1/classify", content=IMAGE, headers=PNG), 401)
        for wrong in ("Basic secret", "Bearer anybody:secret", "Bearer", "secret"):
            problem(http.get("/v1/links", headers={"Authorization": wrong}), 401)
        named = {"Authorization": "Bearer secret", "Host": "spikelink.example"}
        assert http.get("/v1/links", headers=named).status_code == 200


def test_a_body_above_the_limit_is_refused() -> None:
    with running_dashboard(edge=NOWHERE, max_upload_bytes=1024) as http:
        problem(http.post("/v1/classify", content=bytes(2000), headers=PNG), 413)
