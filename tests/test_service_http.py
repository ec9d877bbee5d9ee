# SPDX-License-Identifier: Apache-2.0
"""HTTP as its standard has it, at every node alike: methods, paths that are none, bytes that are no request."""

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import httpx2
import pytest
from four_nodes import ROLES, Nodes, four_nodes, routes
from nodes import metric, problem, until
from raw_http import connection, everything, last_problem

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
#: Not in the OpenAPI documents.
UNLISTED = {"/docs": {"GET"}, "/openapi.json": {"GET", "HEAD"}}
UNRESOLVED = ("/..", "/.", "/vendor/..", "//elsewhere.example/..", "/./main.js", "/vendor/../main.js")
ABSENT = ("/v1/absent", "/absent", "/v1", "/v1/", "//", "//elsewhere.example", "/%00", "/%2e%2e/%2e%2e")

#: Who takes a body, where, and of which type.
BODIES = (
    ("edge", "/v1/classify", "image/png"),
    ("edge", "/v1/classify/batch", "multipart/form-data; boundary=b"),
    ("channel", "/v1/frames", "application/octet-stream"),
    ("channel", f"/v1/sessions/{'0' * 32}/result", "application/json"),
    ("cloud", "/v1/frames", "application/octet-stream"),
    ("dashboard", "/v1/classify", "image/png"),
    ("dashboard", "/v1/reset", "application/json"),
)


@pytest.fixture(scope="module")
def nodes(toy_folder: Path) -> Iterator[Nodes]:
    with four_nodes(toy_folder) as each:
        yield each


def send(node: httpx2.Client, method: str, path: str) -> httpx2.Response:
    """A path as it stands: joined to the client's base, two slashes would become one."""
    return node.request(method, str(node.base_url).rstrip("/") + path)


def refused(response: httpx2.Response, status: int) -> httpx2.Response:
    """Checks a refusal, whose body a reply to HEAD leaves out."""
    if response.request.method == "HEAD":
        assert (response.status_code, response.content) == (status, b"")
        assert response.headers["Content-Type"] == "application/problem+json"
    else:
        problem(response, status)
    return response


def methods_of(node: httpx2.Client) -> dict[str, set[str]]:
    """By path, what a node says that it answers."""
    found = {path: set(methods) for path, methods in UNLISTED.items()}
    for method, path in routes(node):
        found.setdefault(path, set()).add(method)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_405_names_every_method_of_its_path(nodes: Nodes, role: str) -> None:
    """RFC 9110, section 15.5.6; a path may have several routes, and the dashboard's page is beside all of them."""
    for path, methods in methods_of(nodes[role]).items():
        for method in (method for method in METHODS if method not in methods):
            allowed = refused(send(nodes[role], method, path), 405).headers["Allow"]
            assert set(allowed.split(", ")) == methods, f"{method} {path}"


def test_a_405_of_the_page_names_its_methods(nodes: Nodes) -> None:
    for path in ("/", "/main.js", "/vendor/d3.min.js"):
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            assert refused(send(nodes["dashboard"], method, path), 405).headers["Allow"] == "GET, HEAD"
        whole, head = send(nodes["dashboard"], "GET", path), send(nodes["dashboard"], "HEAD", path)
        assert (whole.status_code, head.status_code, head.content) == (200, 200, b"")
        assert whole.headers["Content-Length"] == head.headers["Content-Length"]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", ABSENT)
def test_a_path_that_is_none_is_not_there_for_any_method(nodes: Nodes, role: str, path: str) -> None:
    for method in METHODS:
        refused(send(nodes[role], method, path), 404)


@pytest.mark.parametrize("role", ROLES)
def test_a_slash_too_much_is_another_path_and_points_nowhere(nodes: Nodes, role: str) -> None:
    """A redirect would name the host that the caller has named."""
    for method, path in (*routes(nodes[role]), ("GET", "/docs"), ("GET", "/index.html")):
        assert "Location" not in refused(send(nodes[role], method, f"{path}/"), 404).headers


@pytest.mark.parametrize("path", UNRESOLVED)
def test_a_file_of_the_page_has_one_name(nodes: Nodes, path: str) -> None:
    """No client of the tests' sends these as they stand: browsers do not either, and programs do."""
    with connection(nodes["dashboard"]) as connected:
        connected.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert everything(connected).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "sent",
    [
        b"BREW /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["method", "path", "bytes", "length", "tls"],
)
def test_what_is_no_request_is_answered_with_a_problem(nodes: Nodes, role: str, sent: bytes) -> None:
    refused = metric(nodes[role], "refused_requests_total", status="400")
    with connection(nodes[role]) as connected:
        connected.sendall(sent)
        last_problem(everything(connected), 400)
    assert metric(nodes[role], "refused_requests_total", status="400") == refused + 1


@pytest.mark.parametrize(("role", "path", "kind"), BODIES)
def test_a_caller_that_leaves_in_the_middle_of_its_body_is_no_unforeseen_error(
    nodes: Nodes, role: str, path: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Closed tabs and lost networks are no faults of the node's, and its log must not call them so."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 500\r\n\r\n"
    with caplog.at_level(logging.INFO), connection(nodes[role]) as connected:
        connected.sendall(head.encode() + b"--b\r\nContent-Disp")
        connected.close()
        until(lambda: any(getattr(line, "path", "") == path for line in tuple(caplog.records)), "the request's line")
    assert [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(("role", "path", "kind"), BODIES)
def test_a_body_that_becomes_no_http_is_answered_with_a_problem(
    nodes: Nodes, role: str, path: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, whoever reads the body; and it is nobody's unforeseen error."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    refused = metric(nodes[role], "refused_requests_total", status="400")
    with caplog.at_level(logging.INFO), connection(nodes[role]) as connected:
        connected.sendall(head.encode() + b"5\r\n--b\r\n\r\nnone\r\n")
        last_problem(everything(connected), 400)
        until(lambda: any(getattr(line, "path", "") == path for line in tuple(caplog.records)), "the request's line")
    assert metric(nodes[role], "refused_requests_total", status="400") == refused + 1
    assert [line.name for line in caplog.records if line.levelno > logging.WARNING] == []


@pytest.mark.parametrize(("role", "path", "kind"), BODIES)
def test_chunks_above_the_limit_are_refused(nodes: Nodes, role: str, path: str, kind: str) -> None:
    """A body that does not say beforehand how long it is."""
    mebibytes = (bytes(2**20) for _ in range(65))  # more than a batch may have
    begun = b"--b\r\nContent-Disposition: form-data; name=images; filename=a.png\r\n\r\n" if "boundary" in kind else b""
    problem(nodes[role].post(path, content=chain((begun,), mebibytes), headers={"Content-Type": kind}), 413)


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_reply_that_is_under_way_gets_no_other_in_its_middle(nodes: Nodes, waiting: int) -> None:
    """Nor where another request has come meanwhile, and waits."""
    with connection(nodes["dashboard"]) as connected:
        connected.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = connected.recv(65536)
        assert received.startswith(b"HTTP/1.1 200 ")
        connected.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * waiting + b"none\r\n\r\n")
        assert b"HTTP/1.1" not in received[1:] + everything(connected)
