# SPDX-License-Identifier: Apache-2.0
"""What the channel refuses, what it hands on as the cloud said it, and who may do what."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import Response
from nodes import problem, running_channel, serving
from recording_proxy import recording_proxy, reply_of
from test_service_channel import PAYLOAD, SESSION, ScriptedCloud, frame, links, relayed

DEAD = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(scope="module")
def cloud() -> Iterator[tuple[ScriptedCloud, str]]:
    script = ScriptedCloud()
    with serving(script.app()) as http:
        yield script, str(http.base_url).rstrip("/")


@pytest.fixture(scope="module")
def channel(cloud: tuple[ScriptedCloud, str]) -> Iterator[httpx2.Client]:
    with running_channel(cloud[1]) as http:
        yield http


@pytest.mark.parametrize(
    ("name", "value"),
    [("Seed", "-1"), ("Seed", str(2**53)), ("Seed", "x"), ("Seed", ""), ("Ber", "nan"), ("Ber", "0.6"), ("Ber", "-1"),
     ("Blocks", "1,0"), ("Round", "0"), ("Digest", "0"), ("Deadline-Ms", "-1"), ("Deadline-Ms", "soon")],
)  # fmt: skip
def test_a_malformed_header(channel: httpx2.Client, cloud: tuple[ScriptedCloud, str], name: str, value: str) -> None:
    seen = len(cloud[0].frames)
    problem(frame(channel, PAYLOAD, (0,), **{name.replace("-", "_"): value}), 400)
    assert len(cloud[0].frames) == seen, "the cloud hears nothing of it"


def test_a_frame_without_a_seed(channel: httpx2.Client) -> None:
    sent = frame(channel).request
    headers = {name: value for name, value in sent.headers.items() if name.lower() != "spikelink-seed"}
    assert "SpikeLink-Seed" in problem(channel.post("/v1/frames", content=sent.content, headers=headers), 400).detail


def test_a_body_that_does_not_divide_among_its_blocks(channel: httpx2.Client) -> None:
    problem(frame(channel, bytes(259), blocks=(0, 1)), 400)
    problem(frame(channel, b""), 400)


def test_a_body_of_another_type(channel: httpx2.Client) -> None:
    sent = frame(channel).request
    headers = {**sent.headers, "content-type": "text/plain"}
    problem(channel.post("/v1/frames", content=sent.content, headers=headers), 415)


@pytest.mark.parametrize("status", [400, 409, 410, 422, 429, 503, 500])
def test_the_clouds_refusals_are_handed_on_as_they_are(
    channel: httpx2.Client, cloud: tuple[ScriptedCloud, str], status: int
) -> None:
    body = b'{"title": "of the cloud", "status": 1, "detail": "word for word", "expected_round": 3}'
    headers = {"Retry-After": "7"} if status in (429, 503) else {}
    cloud[0].reply = Response(body, status, headers, media_type="application/problem+json")
    try:
        for response in (frame(channel), channel.post(f"/v1/sessions/{SESSION}/result", json={"blocks": [0]})):
            assert (response.status_code, response.content) == (status, body)
            assert response.headers["Content-Type"] == "application/problem+json"
            assert response.headers.get("Retry-After") == headers.get("Retry-After")
    finally:
        cloud[0].reply = None


def test_a_cloud_that_talks_nonsense(channel: httpx2.Client, cloud: tuple[ScriptedCloud, str]) -> None:
    cloud[0].reply = Response(b'{"answers": 3}', 200, media_type="application/json")
    try:
        problem(frame(channel), 502)
    finally:
        cloud[0].reply = None


def test_a_dead_cloud() -> None:
    with running_channel(DEAD) as http:
        problem(frame(http), 502)
        problem(http.post(f"/v1/sessions/{SESSION}/result", json={"blocks": [0]}), 502)
        readiness = http.get("/readyz")
        assert readiness.status_code == 503
        assert readiness.json()["checks"]["cloud"] != "ok"
        assert http.get("/healthz").status_code == 200


def test_a_slow_cloud_costs_no_more_than_the_deadline(cloud: tuple[ScriptedCloud, str]) -> None:
    with recording_proxy(cloud[1]) as proxy, running_channel(proxy.url) as http:
        proxy.faults[:] = ["hang"]
        response = frame(http, Deadline_Ms="300")
        problem(response, 504)
        assert 0.25 < response.elapsed.total_seconds() < 5


def test_the_channel_never_retries(cloud: tuple[ScriptedCloud, str]) -> None:
    with recording_proxy(cloud[1]) as proxy, running_channel(proxy.url) as http:
        for fault in ("reset", "lose-reply", reply_of(503, b'{"detail": "no"}')):
            before = len(cloud[0].frames)
            proxy.faults[:] = [fault]
            assert frame(http).status_code in (502, 503)
            assert proxy.faults == []
            assert len(cloud[0].frames) - before == (fault == "lose-reply")


def test_between_nodes_a_token_is_asked_for_and_sent_on(cloud: tuple[ScriptedCloud, str]) -> None:
    with running_channel(cloud[1], token="of-the-nodes") as http:
        for response in (frame(http), http.get("/v1/links"), http.post("/v1/reset")):
            problem(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer"
        problem(http.get("/v1/links", headers={"Authorization": "Bearer another"}), 401)
        problem(http.get("/v1/links", headers={"Authorization": "Basic of-the-nodes"}), 401)
        for path in ("/healthz", "/readyz", "/metrics", "/v1/info", "/openapi.json", "/docs"):
            assert http.get(path).status_code == 200
        http.headers["Authorization"] = "Bearer of-the-nodes"
        relayed(frame(http))
        assert cloud[0].frames[-1][0]["authorization"] == "Bearer of-the-nodes"
        assert http.patch("/v1/links/forward", json={"ber": 0.1}).status_code == 200, "there is no admin token"


def test_changing_a_link_takes_the_admin_token(cloud: tuple[ScriptedCloud, str], tmp_path: Path) -> None:
    (tmp_path / "admin").write_text("of-the-admin\n")
    with running_channel(cloud[1], token="of-the-nodes", admin_token_file=tmp_path / "admin") as http:
        http.headers["Authorization"] = "Bearer of-the-nodes"
        for response in (
            http.patch("/v1/links/forward", json={"ber": 0.1}),
            http.post("/v1/links/forward/reset"),
            http.post("/v1/reset"),
        ):
            problem(response, 401)
        assert links(http)["forward"].revision == 0
        http.headers["Authorization"] = "Bearer of-the-admin"
        assert http.patch("/v1/links/forward", json={"ber": 0.1}).json()["revision"] == 1
        assert links(http)["forward"].ber == 0.1


def test_an_admin_token_alone_guards_changes_alone(cloud: tuple[ScriptedCloud, str]) -> None:
    with running_channel(cloud[1], admin_token="of-the-admin") as http:
        relayed(frame(http))
        assert http.get("/v1/links").status_code == 200
        problem(http.patch("/v1/links/forward", json={"ber": 0.1}), 401)
