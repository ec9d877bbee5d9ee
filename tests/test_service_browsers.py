# SPDX-License-Identifier: Apache-2.0
"""What browsers are told with every reply of every node, and what is refused when another site's page sends it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from four_nodes import ROLES, Nodes, four_nodes, routes
from nodes import metric, problem, until

from service.browsers import DEFAULT_HEADERS
from service.nodes.channel.relay import Relay
from service.nodes.dashboard.files import HEADERS as PAGE_HEADERS

FOREIGN_NAMES = (
    "rebound.example", "rebound.example:8001", "localhost.example", "127.0.0.1.example", "[::1", "[rebound]:1", "",
)  # fmt: skip
OWN_NAMES = ("localhost", "localhost:8001", "spikelink.localhost", "127.0.0.1:8001", "192.0.2.7", "[::1]:8001")
OTHER_SITES = (
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)


@pytest.fixture(scope="module")
def nodes(toy_folder: Path) -> Iterator[Nodes]:
    with four_nodes(toy_folder) as each:
        yield each


@pytest.fixture(scope="module")
def guarded(toy_folder: Path) -> Iterator[Nodes]:
    with four_nodes(toy_folder, token="of-the-nodes") as each:
        yield each


def changing(node: httpx2.Client) -> list[tuple[str, str]]:
    """The routes that a safe method does not reach."""
    found = [(method, path) for method, path in routes(node) if method != "GET"]
    assert found
    return found


def assert_headers(response: httpx2.Response) -> None:
    found = {name: response.headers.get(name) for name in DEFAULT_HEADERS}
    assert found == DEFAULT_HEADERS, f"{response.request.method} {response.request.url.path} {response.status_code}"


@pytest.mark.parametrize("role", ROLES)
def test_every_reply_is_data_and_nothing_else(nodes: Nodes, guarded: Nodes, role: str) -> None:
    statuses = set()
    for node in (nodes[role], guarded[role]):
        for method, path in (*routes(node), ("GET", "/v1/nothing"), ("PUT", "/v1/info"), ("OPTIONS", "/v1/info")):
            if path == "/v1/events" and node is nodes[role]:
                continue  # it does not end
            response = node.request(method, path)
            assert_headers(response)
            assert not [name for name in response.headers if name.lower().startswith("access-control-")]
            statuses.add(response.status_code)
    assert statuses >= {200, 401, 404, 405}


@pytest.mark.parametrize("role", ROLES)
def test_a_body_above_the_limit_and_another_site_are_answered_with_them_too(nodes: Nodes, role: str) -> None:
    method, path = next(route for route in changing(nodes[role]) if route[1].startswith(("/v1/classify", "/v1/frames")))
    large = nodes[role].request(method, path, content=bytes(70 * 2**20))
    problem(large, 413)
    assert_headers(large)
    assert_headers(nodes[role].request(method, path, headers={"Sec-Fetch-Site": "cross-site"}))


def test_what_is_unforeseen_is_answered_with_them_too(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the node's")

    monkeypatch.setattr(Relay, "result", broken)
    session = "0" * 32
    response = nodes["channel"].post(f"/v1/sessions/{session}/result", json={"blocks": [0]})
    problem(response, 500)
    assert_headers(response)


def test_events_are_answered_with_them_too(nodes: Nodes) -> None:
    with nodes["dashboard"].stream("GET", "/v1/events") as response:
        assert_headers(response)


def test_a_page_keeps_its_own_policy(nodes: Nodes) -> None:
    found = nodes["dashboard"].get("/").headers
    assert {name: found[name] for name in PAGE_HEADERS} == PAGE_HEADERS
    assert found["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("headers", OTHER_SITES, ids=lambda headers: str(next(iter(headers.items()))))
@pytest.mark.parametrize("role", ROLES)
def test_a_page_of_another_site_changes_nothing_anywhere(nodes: Nodes, role: str, headers: dict[str, str]) -> None:
    for method, path in changing(nodes[role]):
        problem(nodes[role].request(method, path, headers=headers), 403)
    assert nodes[role].get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize("role", ROLES)
def test_a_page_of_another_site_with_the_token_changes_nothing_either(guarded: Nodes, role: str) -> None:
    headers = {"Authorization": "Bearer of-the-nodes", "Sec-Fetch-Site": "cross-site"}
    for method, path in changing(guarded[role]):
        problem(guarded[role].request(method, path, headers=headers), 403)


@pytest.mark.parametrize("role", ROLES)
def test_no_other_site_is_told_that_it_may(nodes: Nodes, role: str) -> None:
    """A browser asks before it sends what a form cannot; without permission it does not send it."""
    for method, path in changing(nodes[role]):
        asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": method}
        response = nodes[role].options(path, headers=asked)
        problem(response, 405)
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("host", FOREIGN_NAMES)
@pytest.mark.parametrize("role", ROLES)
def test_without_a_token_a_node_has_no_name_that_another_site_may_own(nodes: Nodes, role: str, host: str) -> None:
    """Another site can have its own name point here; its requests would then be this node's own."""
    own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    refused = metric(nodes[role], "refused_requests_total", status="403")
    asked = [(method, path) for method, path in routes(nodes[role]) if path != "/v1/events"]
    for method, path in (*asked, ("GET", "/docs"), ("GET", "/")):
        problem(nodes[role].request(method, path, headers=own), 403)
    assert metric(nodes[role], "refused_requests_total", status="403") == refused + len(asked) + 2


@pytest.mark.parametrize("host", OWN_NAMES)
@pytest.mark.parametrize("role", ROLES)
def test_localhost_and_addresses_are_names_of_a_node(nodes: Nodes, role: str, host: str) -> None:
    assert nodes[role].get("/v1/info", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("role", ROLES)
def test_with_a_token_a_node_may_have_any_name(guarded: Nodes, role: str) -> None:
    """No other site knows the token."""
    named = {"Host": "spikelink.example", "Authorization": "Bearer of-the-nodes"}
    assert guarded[role].get("/v1/info", headers=named).status_code == 200
    assert guarded[role].get("/v1/absent", headers=named).status_code == 404


@pytest.mark.parametrize("role", ROLES)
def test_a_refusal_is_logged_without_what_may_be_secret(
    guarded: Nodes, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    method, path = changing(guarded[role])[0]
    with caplog.at_level(logging.INFO, "spikelink"):
        wrong = {"Authorization": "Bearer a-wrong-secret", "X-Request-ID": "of-this-test"}
        problem(guarded[role].request(method, path, headers=wrong, params={"query": "a-wrong-secret"}), 401)
        # The line comes a moment after the reply.
        until(lambda: any(record.name == "spikelink" for record in tuple(caplog.records)), "the line of the request")
    (record,) = (record for record in caplog.records if record.name == "spikelink")
    said = {name: getattr(record, name) for name in ("message", "method", "path", "status", "client")}
    assert said == {"message": "request", "method": method, "path": path, "status": 401, "client": "127.0.0.1"}
    assert "a-wrong-secret" not in str(vars(record))
