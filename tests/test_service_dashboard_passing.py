# SPDX-License-Identifier: Apache-2.0
"""What is passed on arrives as it comes, and is given up when the browser leaves. The edge here does as it is told."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import httpx2
import pytest
from breaking_peer import BREAKS, breaking_peer, note_heads
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from nodes import problem, running_dashboard, serving, until

from service.wire import EVENT_STREAM, Problem

FIRST = b"event: start\ndata: {}\n\n"
SECOND = b"event: round\ndata: {}\n\n"


@dataclass
class ToldEdge:
    """Sends the second half of its answer when ``go_on`` is set; ``left`` is set when its caller has gone."""

    go_on: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    breaks: bool = False
    seen: dict[str, str] = field(default_factory=dict)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/classify")
        async def classify(request: Request) -> Response:
            self.seen = {**request.headers, "query": request.url.query, "body": (await request.body()).decode()}
            self.arrived.set()
            if request.headers.get("Accept") == EVENT_STREAM:
                return StreamingResponse(self._halves(), media_type=EVENT_STREAM)
            while not self.go_on.is_set():
                if await request.is_disconnected():
                    self.left.set()
                    break
                await asyncio.sleep(0.01)
            return Response(b"{}", 429, {"Retry-After": "3"}, media_type="application/json")

        @app.patch("/v1/links/{name}")
        async def ending(name: str) -> Response:
            return Response(b'{"detail": "ending"}', 503, {"Retry-After": "1"}, media_type="application/problem+json")

        return app

    async def _halves(self) -> AsyncIterator[bytes]:
        try:
            yield FIRST
            while not self.go_on.is_set():
                await asyncio.sleep(0.01)
            if self.breaks:
                raise ConnectionResetError("the edge breaks off")
            yield SECOND
        except asyncio.CancelledError:
            self.left.set()
            raise


@pytest.fixture
def edge() -> ToldEdge:
    return ToldEdge()


@pytest.fixture
def head_arrived(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    return note_heads(monkeypatch)


@pytest.fixture
def http(edge: ToldEdge) -> Iterator[httpx2.Client]:
    with serving(edge.app()) as upstream, running_dashboard(edge=str(upstream.base_url)) as client:
        yield client


def test_body_query_and_type_arrive_as_they_are(http: httpx2.Client, edge: ToldEdge) -> None:
    edge.go_on.set()
    headers = {"Content-Type": "image/x-strange", "X-Request-ID": "mine", "Cookie": "a=b"}
    response = http.post("/v1/classify?ber=0.1&x=a%20b&x=2", content=b"bytes", headers=headers)
    assert (response.status_code, response.headers["Retry-After"], response.content) == (429, "3", b"{}")
    assert (edge.seen["query"], edge.seen["body"]) == ("ber=0.1&x=a%20b&x=2", "bytes")
    assert (edge.seen["content-type"], edge.seen["x-request-id"]) == ("image/x-strange", "mine")
    assert "cookie" not in edge.seen


def test_each_event_arrives_before_the_next_is_sent(http: httpx2.Client, edge: ToldEdge) -> None:
    with http.stream("POST", "/v1/classify", headers={"Accept": EVENT_STREAM}) as response:
        chunks = response.iter_bytes()
        assert next(chunks) == FIRST
        edge.go_on.set()
        assert b"".join(chunks) == SECOND


def test_when_to_come_back_is_passed_on(edge: ToldEdge) -> None:
    """A channel that ends says so to who changes a link, and the browser has to hear of it."""
    with serving(edge.app()) as channel, running_dashboard(channel=str(channel.base_url)) as client:
        response = client.patch("/v1/links/forward", json={"ber": 0.1})
    assert (response.status_code, response.headers.get("Retry-After")) == (503, "1")


def test_a_browser_that_leaves_ends_the_edges_work(http: httpx2.Client, edge: ToldEdge) -> None:
    with http.stream("POST", "/v1/classify", headers={"Accept": EVENT_STREAM}) as response:
        assert next(response.iter_bytes()) == FIRST
    until(edge.left.is_set, "the edge hears of it")


def test_the_same_before_the_edge_has_said_anything(http: httpx2.Client, edge: ToldEdge) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        http.post("/v1/classify", timeout=4.0)
    assert edge.arrived.is_set()
    until(edge.left.is_set, "the edge hears of it")


def test_a_stream_that_breaks_off_ends_with_a_problem(http: httpx2.Client, edge: ToldEdge) -> None:
    edge.breaks = True
    with http.stream("POST", "/v1/classify", headers={"Accept": EVENT_STREAM}) as response:
        chunks = response.iter_bytes()
        assert next(chunks) == FIRST
        edge.go_on.set()
        name, data = b"".join(chunks).decode().strip().splitlines()
    assert name == "event: problem"
    assert Problem.model_validate_json(data.removeprefix("data: ")).status == 502


@pytest.mark.parametrize("how", BREAKS)
def test_json_that_breaks_off_is_the_edges_fault(
    how: str, head_arrived: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO),
        breaking_peer(how, "application/json", b'{"label"', head_arrived) as url,
        running_dashboard(edge=url) as client,
    ):
        problem(client.post("/v1/classify"), 502)
        until(lambda: "request" in caplog.messages, "the request's line")
    (line,) = (record for record in caplog.records if record.levelno > logging.INFO or record.message == "request")
    assert (line.levelno, getattr(line, "status", None), line.exc_info) == (logging.INFO, 502, None)


@pytest.mark.parametrize("how", BREAKS)
def test_events_that_break_off_end_with_a_problem_and_no_half_event(
    how: str, head_arrived: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO),
        breaking_peer(how, EVENT_STREAM, FIRST + SECOND[:9], head_arrived) as url,
        running_dashboard(edge=url) as client,
    ):
        response = client.post("/v1/classify", headers={"Accept": EVENT_STREAM})
        until(lambda: len(caplog.records) > 0, "the line")
    assert response.status_code == 200
    assert response.content.startswith(FIRST)
    name, data = response.text.removeprefix(FIRST.decode()).strip().splitlines()
    assert name == "event: problem"
    assert Problem.model_validate_json(data.removeprefix("data: ")).status == 502
    (line,) = (record for record in caplog.records if record.levelno > logging.INFO)
    assert (line.levelno, line.exc_info) == (logging.WARNING, None)
    assert url in line.getMessage()


def test_an_edge_that_never_answers_is_given_up(edge: ToldEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.nodes.dashboard.app.LONGER_S", 0.0)
    with serving(edge.app()) as upstream, running_dashboard(edge=str(upstream.base_url), deadline_s=3.0) as client:
        problem(client.post("/v1/classify"), 504)
        until(edge.left.is_set, "the edge hears of it")
