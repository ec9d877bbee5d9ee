# SPDX-License-Identifier: Apache-2.0
"""What the edge does not take on: refused before a body is read, and counted while it waits for the channel."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import httpx2
import pytest
from edge_line import IMAGE, PNG, Line, running_line
from nodes import NOWHERE, metric, problem, running_edge, until

from models.transmitter import Transmitter

BOUNDARY = "multipart/form-data; boundary=here"


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        yield line


def answer_to_a_head(edge: httpx2.Client, route: str, kind: str) -> tuple[int, str | None]:
    """Status and Retry-After of a request whose body never comes."""
    base = edge.base_url
    with socket.create_connection((base.host, base.port or 80), timeout=30) as connection:
        head = f"POST {route} HTTP/1.1\r\nHost: {base.host}\r\nContent-Type: {kind}\r\nContent-Length: 100000\r\n\r\n"
        connection.sendall(head.encode())
        response = HTTPResponse(connection)
        response.begin()
        return response.status, response.getheader("Retry-After")


@pytest.mark.parametrize(
    ("route", "kind"), [("/v1/classify", "image/png"), ("/v1/classify/batch", BOUNDARY)], ids=["single", "batch"]
)
def test_a_full_queue_refuses_before_a_body_has_come(
    toy_folder: Path, route: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had been read and decoded, and then refused."""
    begin, go_on = Transmitter.begin, threading.Event()

    def slow(self: Transmitter, *args: object) -> object:
        assert go_on.wait(60)
        return begin(self, *args)  # type: ignore[arg-type]  # handed on as they come

    with running_edge(toy_folder, NOWHERE, max_waiting=1, deadline_s=5) as (edge, _), ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(Transmitter, "begin", slow)
        try:
            for _ in range(2):
                pool.submit(edge.post, "/v1/classify", content=IMAGE, headers=PNG)
            until(lambda: metric(edge, "compute_waiting") == 2, "one image in work and one before it")
            assert answer_to_a_head(edge, route, kind) == (429, "1")
            assert metric(edge, "edge_failures_total", status="429") == 1
        finally:
            go_on.set()


def test_sessions_that_wait_for_the_channel_are_bounded(toy_folder: Path, line: Line) -> None:
    """They compute nothing meanwhile, and as many as came could wait for a channel that stands still."""
    with running_edge(toy_folder, line.proxy.url, max_in_flight=1) as (edge, _):
        line.proxy.faults[:] = ["hang"]
        base = edge.base_url
        with closing(HTTPConnection(base.host, base.port or 80, timeout=60)) as waiting:
            waiting.request("POST", "/v1/classify", IMAGE, PNG)
            until(lambda: line.proxy.faults == [], "the frame that is never answered")
            assert (metric(edge, "edge_in_flight"), metric(edge, "compute_waiting")) == (1, 0)
            refusal = edge.post("/v1/classify", content=IMAGE, headers=PNG)
            problem(refusal, 429)
            assert refusal.headers["Retry-After"] == "1"
            assert edge.get("/v1/info").status_code == 200
        until(lambda: metric(edge, "edge_in_flight") == 0, "the end of what was left")
        assert edge.post("/v1/classify", content=IMAGE, headers=PNG).status_code == 200
        until(lambda: metric(edge, "edge_in_flight") == 0, "the end of the other")
