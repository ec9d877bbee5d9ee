# SPDX-License-Identifier: Apache-2.0
"""What stands before the routes refuses too, and each OpenAPI document says so: they are walked, and tried out."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from edge_line import IMAGE
from fastapi import FastAPI
from four_nodes import ROLES
from nodes import NOWHERE, serving

from cli.nodes import make_desk
from service.bounds import TimeBounds
from service.nodes.channel.app import create_channel
from service.nodes.cloud.app import create_cloud
from service.nodes.dashboard.app import create_dashboard
from service.nodes.edge.app import create_edge
from service.settings import ChannelSettings, CloudSettings, DashboardSettings, EdgeSettings

#: A stream without an end.
ENDLESS = "/v1/events"
FILLED = {"session": "0" * 32, "name": "forward", "sweep": "0" * 64}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
#: By what protects the nodes: nothing, the admin token alone, both tokens.
GUARDS: dict[str, dict[str, str]] = {"open": {}, "admin": {"admin_token": "admin"}, "tokens": {"token": "t"}}
BODIES: dict[str, dict[str, Any]] = {
    "application/json": {"json": {}},
    "multipart/form-data": {"files": [("images", ("a.png", IMAGE, "image/png"))]},
    "image/png": {"content": IMAGE, "headers": {"Content-Type": "image/png"}},
    "application/octet-stream": {"content": b"", "headers": {"Content-Type": "application/octet-stream"}},
}


@dataclass(frozen=True, eq=False)
class Operation:
    """One of a document, and how to ask for it."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def target(self) -> str:
        return self.path.format(**FILLED)

    def body(self) -> dict[str, Any]:
        """A body that is read, whatever it says."""
        kinds = self.described.get("requestBody", {}).get("content", {})
        return next((body for kind, body in BODIES.items() if kind in kinds), {})

    def must_declare(self, status: int) -> None:
        response = self.described["responses"].get(str(status))
        assert response is not None, f"{self.method} {self.path} may answer {status}"
        # A node that is not ready says why, in the form in which it says that it is.
        assert status < 400 or response["content"] == PROBLEM or (self.path, status) == ("/readyz", 503)


@dataclass(frozen=True)
class Served:
    """A node and its application."""

    http: httpx2.Client
    app: FastAPI

    def operations(self) -> list[Operation]:
        paths = self.app.openapi()["paths"]
        found = [Operation(method.upper(), path, each) for path, of in paths.items() for method, each in of.items()]
        assert len(found) >= 6
        return found

    def ask(self, operation: Operation) -> httpx2.Response:
        return self.http.request(operation.method, operation.target, **operation.body())


@contextmanager
def served(role: str, weights: Path, folder: Path, guard: dict[str, str], receive_s: float) -> Iterator[Served]:
    token = {name: value for name, value in guard.items() if name == "token"}
    if role == "edge":
        limited = {"classify_per_s": 1e-3}
        app = create_edge(EdgeSettings.model_validate({"weights": weights, "upstream": NOWHERE, **token, **limited}))
    elif role == "cloud":
        app = create_cloud(CloudSettings.model_validate({"weights": weights, "store": "memory://", **token}))
    elif role == "channel":
        app = create_channel(ChannelSettings.model_validate({"upstream": NOWHERE, **guard}))
    else:
        own = {"sweep_store": f"sqlite://{folder / 'sweeps.sqlite3'}", "sweeps_per_min": 1e-3, **guard}
        peers = {peer: NOWHERE for peer in ROLES if peer != "dashboard"}
        settings = DashboardSettings.model_validate({**own, **peers})
        app = create_dashboard(settings, make_desk(settings))
    with serving(TimeBounds(app, receive_s)) as http:
        if "token" in guard:
            http.headers["Authorization"] = f"Bearer {guard['token']}"
        yield Served(http, app)


@pytest.fixture(scope="module")
def all_served(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Served]]:
    """Each role under each guard."""
    folder = tmp_path_factory.mktemp("stores")
    with ExitStack() as stack:
        yield {
            (role, name): stack.enter_context(served(role, toy_folder, folder, guard, 60.0))
            for role in ROLES
            for name, guard in GUARDS.items()
        }


@pytest.fixture(params=GUARDS)
def guard(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ROLES)
def node(request: pytest.FixtureRequest, guard: str, all_served: dict[tuple[str, str], Served]) -> Served:
    return all_served[str(request.param), guard]


def test_refusals_of_browsers_tokens_and_sizes_are_declared(node: Served, guard: str) -> None:
    """Whatever status comes back for a request that is wrong in one way is declared."""
    wrongs: list[dict[str, str]] = [
        {"Host": "elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer t", "Sec-Fetch-Site": "cross-site"},
        {"Authorization": "Bearer t", "Content-Length": str(2**50)},
    ]
    met = set()
    for operation in node.operations():
        for wrong in wrongs:
            status = head_of(node, operation, wrong)
            operation.must_declare(status)
            met.add(status)
    assert met >= {"open": {403, 413}, "admin": {401, 403, 413}, "tokens": {401, 403, 413}}[guard] - beyond(node)


def beyond(node: Served) -> set[int]:
    """What only nodes answer where an admin token counts for something."""
    return set() if node.app.state.node.role in ("channel", "dashboard") else {401}


@pytest.mark.parametrize("role", ROLES)
def test_a_body_that_does_not_come_is_declared(role: str, toy_folder: Path, tmp_path: Path) -> None:
    """Every route that waits for a body says 408."""
    with served(role, toy_folder, tmp_path, {}, 0.2) as node:
        answers = {
            operation: head_of(node, operation, {"Content-Length": "5", **operation.body().get("headers", {})})
            for operation in node.operations()
            if operation.path != ENDLESS
        }
    for operation, status in answers.items():
        operation.must_declare(status)
    late = {operation.path for operation, status in answers.items() if status == 408}
    assert late >= {"/v1/classify" if role in ("edge", "dashboard") else "/v1/frames"}


def test_limits_of_callers_are_declared(node: Served) -> None:
    met = set()
    for operation in (each for each in node.operations() if each.method != "GET"):
        for _ in range(3):
            response = node.ask(operation)
            operation.must_declare(response.status_code)
            met.add(response.status_code)
    assert (429 in met) is (node.app.state.node.role in ("edge", "dashboard"))


def test_a_node_that_ends_declares_what_it_answers(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.app.state.node, "draining", True)
    drained = set()
    for operation in node.operations():
        response = node.ask(operation)
        operation.must_declare(response.status_code)
        if response.status_code == 503:
            drained.add(operation.path)
    accepting = {"/v1/classify", "/v1/classify/batch", "/v1/frames", "/v1/sweeps", "/v1/sweeps/{sweep}/resume"}
    # A caller that is at its limit, or has no right, is told that first.
    assert drained <= accepting | {"/readyz", ENDLESS}
    assert "/readyz" in drained


def head_of(node: Served, operation: Operation, headers: dict[str, str]) -> int:
    """The status of the answer to a request whose body has not been sent."""
    base = node.http.base_url
    with socket.create_connection((base.host, base.port or 80), timeout=60) as connected:
        sent = {"Host": "localhost", "Content-Length": "0", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        connected.sendall(f"{operation.method} {operation.target} HTTP/1.1\r\n{lines}\r\n".encode())
        return int(connected.makefile("rb").readline().split()[1])
