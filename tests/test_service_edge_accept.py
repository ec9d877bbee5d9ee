# SPDX-License-Identifier: Apache-2.0
"""Which form of the answer the edge chooses, what it refuses before a stream begins, what its OpenAPI says of it."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from edge_line import IMAGE, PNG, Line, running_line
from nodes import problem, running_edge

from service.accept import prefers

BY_EVENTS = {**PNG, "Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def line(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(toy_folder, tmp_path_factory.mktemp("store")) as line:
        yield line


@pytest.mark.parametrize(
    ("accept", "events"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("application/json;q=0.5, text/event-stream;q=0.8", True),
        ("text/event-stream, */*;q=0.1", True),
        ("text/*", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/event-stream", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=0.2, */*;q=0.5", False),
        ("text/event-stream;q=high", False),
        ("text/html, image/png;q=0.9, */*;q=0.8", False),
        (",;,", False),
    ],
)
def test_who_prefers_events_gets_them(accept: str, events: bool) -> None:
    assert prefers(accept, "text/event-stream", "application/json") is events


def test_the_default_is_json(line: Line) -> None:
    for headers in (PNG, {**PNG, "Accept": "*/*"}, {**PNG, "Accept": "application/json"}):
        response = line.edge.post("/v1/classify", content=IMAGE, headers=headers)
        assert response.headers["Content-Type"] == "application/json"


def test_openapi_shows_both_forms_of_the_answer(line: Line) -> None:
    content = line.edge.get("/openapi.json").json()["paths"]["/v1/classify"]["post"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Classification"}
    assert content["application/json"]["example"]["label"]
    events = content["text/event-stream"]
    names = [part.splitlines()[0] for part in events["example"].split("\n\n") if part]
    assert names == ["event: start", "event: round", "event: round", "event: result"]
    assert set(events["x-events"]) == {"start", "round", "result", "problem"}


def test_what_is_refused_before_the_stream_begins_is_an_ordinary_problem(line: Line, toy_folder: Path) -> None:
    def post(content: bytes = IMAGE, kind: str = "image/png", **query: str) -> httpx2.Response:
        return line.edge.post(
            "/v1/classify", params=query, content=content, headers={**BY_EVENTS, "Content-Type": kind}
        )

    problem(post(kind="image/gif"), 415)
    problem(post(b"\x89PNG\r\n\x1a\n"), 422)
    problem(post(ber="0.6"), 422)
    problem(post(profile="nothing"), 422)
    with running_edge(toy_folder, line.proxy.url, token="a-secret", max_upload_bytes=2**14) as (edge, app):
        problem(edge.post("/v1/classify", content=IMAGE, headers=BY_EVENTS), 401)
        edge.headers["Authorization"] = "Bearer a-secret"
        problem(edge.post("/v1/classify", content=bytes(2**15), headers=BY_EVENTS), 413)
        app.state.node.draining = True
        problem(edge.post("/v1/classify", content=IMAGE, headers=BY_EVENTS), 503)
