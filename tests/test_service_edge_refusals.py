# SPDX-License-Identifier: Apache-2.0
"""What the edge refuses, with which status, as problem+json, and its OpenAPI."""

import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from nodes import metric, png, problem, running_channel, running_cloud, running_edge, until
from toy import toy_images

from models.transmitter import Transmitter
from service.nodes.channel.app import create_channel
from service.nodes.cloud.app import create_cloud
from service.nodes.edge.app import create_edge
from service.settings import ChannelSettings, CloudSettings, EdgeSettings

IMAGE = png(toy_images(1, seed=12)[0])
PNG = {"Content-Type": "image/png"}
LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def node(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx2.Client, FastAPI]]:
    store = f"sqlite://{tmp_path_factory.mktemp('store') / 'sessions.sqlite3'}"
    with (
        running_cloud(toy_folder, store) as cloud,
        running_channel(str(cloud.http.base_url)) as channel,
        running_edge(
            toy_folder, str(channel.base_url), max_upload_bytes=LIMIT, max_batch_bytes=4 * LIMIT, max_waiting=1
        ) as (edge, app),
    ):
        edge.headers["X-Request-ID"] = "of-this-test"
        yield edge, app


@pytest.fixture
def edge(node: tuple[httpx2.Client, FastAPI]) -> httpx2.Client:
    return node[0]


def claimed(width: int, height: int) -> bytes:
    """A PNG that says it is so large; its few bytes hold no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def classify(edge: httpx2.Client, content: bytes = IMAGE, *, kind: str = "image/png", **query: str) -> httpx2.Response:
    return edge.post("/v1/classify", params=query, content=content, headers={"Content-Type": kind})


def batch(edge: httpx2.Client, *files: bytes, kind: str = "image/png", **query: str) -> httpx2.Response:
    parts = [("images", (f"{number}.png", content, kind)) for number, content in enumerate(files)]
    return edge.post("/v1/classify/batch", params=query, files=parts)


def test_an_image_with_too_many_bytes(edge: httpx2.Client) -> None:
    noise = png(np.random.default_rng(0).integers(0, 256, (3, 256, 256), dtype=np.uint8))
    assert len(noise) > LIMIT
    problem(classify(edge, noise), 413)
    assert "image 1" in problem(batch(edge, IMAGE, noise), 413).detail
    problem(batch(edge, noise, noise), 413)

    def in_pieces() -> Iterator[bytes]:
        yield from (noise[start : start + 4096] for start in range(0, len(noise), 4096))

    problem(edge.post("/v1/classify", content=in_pieces(), headers=PNG), 413)


@pytest.mark.parametrize("side", [6_000, 20_000])
def test_an_image_with_too_many_pixels(edge: httpx2.Client, side: int) -> None:
    problem(classify(edge, claimed(side, side)), 413)
    assert "image 1" in problem(batch(edge, IMAGE, claimed(side, side)), 413).detail


@pytest.mark.parametrize("kind", ["image/gif", "text/plain", "application/octet-stream", "png"])
def test_another_media_type(edge: httpx2.Client, kind: str) -> None:
    problem(classify(edge, kind=kind), 415)
    assert "image 0" in problem(batch(edge, IMAGE, kind=kind), 415).detail


def test_no_media_type_at_all(edge: httpx2.Client) -> None:
    problem(edge.post("/v1/classify", content=IMAGE), 415)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", IMAGE[: len(IMAGE) // 2], b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_image(edge: httpx2.Client, content: bytes) -> None:
    problem(classify(edge, content), 422)
    assert "image 1" in problem(batch(edge, IMAGE, content), 422).detail


QUERIES = [
    {"ber": "nan"}, {"ber": "0.6"}, {"ber": "-0.1"}, {"ber": "inf"}, {"ber": "high"}, {"threshold": "nan"},
    {"threshold": "1.01"}, {"threshold": "-1.01"}, {"seed": "-1"}, {"seed": str(2**53)}, {"seed": "1.5"},
    {"system": "morse"}, {"system": "multi-rate"}, {"system": "multi-rate", "t": "3"},
    {"system": "multi-rate", "t": "9"}, {"system": "multi-rate", "t": "5", "threshold": "0.5"}, {"t": "5"},
    {"system": "bypass", "ber": "0.1"}, {"system": "bypass", "threshold": "0.1"}, {"profile": "resnet50"},
    {"system": "snn-sc-ldpc-harq", "threshold": "0.1"}, {"system": "snn-sc-ldpc-harq", "t": "5"},
    {"system": "cnn-1bit"}, {"system": "cnn-1bit", "t": "9"}, {"system": "cnn-1bit", "t": "3", "threshold": "0.5"},
    {"profile": "nothing"}, {"bers": "0.1"}, {"Ber": "0.1"},
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: "&".join(f"{name}={query[name]}" for name in query))
def test_parameters_that_cannot_be_met(edge: httpx2.Client, query: dict[str, str]) -> None:
    problem(edge.post("/v1/classify", params=query, content=IMAGE, headers=PNG), 422)
    parts = [("images", ("0.png", IMAGE, "image/png"))]
    problem(edge.post("/v1/classify/batch", params=query, files=parts), 422)


@pytest.mark.parametrize("block", ["-1", str(2**53), "x"])
def test_a_block_that_is_no_index(edge: httpx2.Client, block: str) -> None:
    problem(classify(edge, block=block), 422)


@pytest.mark.parametrize("blocks", ["1,0", "0,0", "1-0", "0", "0-2", "", "x", "0-1,", "0-300"])
def test_blocks_that_do_not_fit_two_images(edge: httpx2.Client, blocks: str) -> None:
    problem(batch(edge, IMAGE, IMAGE, blocks=blocks), 422)


def test_a_batch_of_none_or_of_257(edge: httpx2.Client) -> None:
    problem(edge.post("/v1/classify/batch"), 422)
    problem(batch(edge, *[IMAGE[:40]] * 257), 422)
    problem(edge.post("/v1/classify/batch", content=IMAGE, headers=PNG), 422)


def test_a_bypass_over_a_noisy_link(edge: httpx2.Client) -> None:
    assert classify(edge, system="bypass").status_code == 200
    assert classify(edge, system="bypass", ber="0").status_code == 200


def test_the_request_id(edge: httpx2.Client) -> None:
    assert classify(edge).headers["X-Request-ID"] == "of-this-test"
    refusal = edge.post("/v1/classify", content=b"", headers={**PNG, "X-Request-ID": "no name; at all"})
    assert problem(refusal, 422).request_id != "no name; at all"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://example.org"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=lambda headers: next(iter(headers.values())),
)
def test_a_web_page_of_another_site(edge: httpx2.Client, headers: dict[str, str]) -> None:
    problem(edge.post("/v1/classify", content=IMAGE, headers={**PNG, **headers}), 403)
    assert edge.get("/v1/info", headers=headers).status_code == 200


def test_a_web_page_of_the_nodes_own(edge: httpx2.Client) -> None:
    headers = {**PNG, "Origin": str(edge.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert edge.post("/v1/classify", content=IMAGE, headers=headers).status_code == 200


def test_a_full_queue_and_a_draining_node(node: tuple[httpx2.Client, FastAPI], monkeypatch: pytest.MonkeyPatch) -> None:
    (edge, app), begin, go_on = node, Transmitter.begin, threading.Event()
    unseen = png(toy_images(1, seed=13)[0])  # features of the other one are remembered, and not computed

    def slow(self: Transmitter, *args: object) -> object:
        assert go_on.wait(60)
        return begin(self, *args)  # type: ignore[arg-type]  # handed on as they come

    with ThreadPoolExecutor(2) as pool:
        try:
            with monkeypatch.context() as patch:
                patch.setattr(Transmitter, "begin", slow)
                accepted = [pool.submit(classify, edge, unseen) for _ in range(2)]
                until(lambda: metric(edge, "compute_waiting") == 2, "one image in work and one before it")
                refusal = classify(edge)
                app.state.node.draining = True
                drained = classify(edge), batch(edge, IMAGE)
        finally:
            app.state.node.draining = False
            go_on.set()
        problem(refusal, 429)
        assert int(refusal.headers["Retry-After"]) >= 1
        for response in drained:
            problem(response, 503)
            assert int(response.headers["Retry-After"]) >= 1
        assert sorted(reply.result().status_code for reply in accepted) == [200, 200]


@pytest.fixture(scope="module")
def documents(toy_folder: Path) -> dict[str, dict[str, object]]:
    """The OpenAPI of every node."""
    apps = {
        "edge": create_edge(EdgeSettings(weights=toy_folder)),
        "channel": create_channel(ChannelSettings()),
        "cloud": create_cloud(CloudSettings(weights=toy_folder, store="memory://")),
    }
    return {role: app.openapi() for role, app in apps.items()}


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for entry in value.values():
            yield from references(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from references(entry)


def test_openapi_of_every_node(documents: dict[str, dict[str, object]]) -> None:
    for role, document in documents.items():
        assert str(document["openapi"]).startswith("3.1")
        components = document["components"]
        assert isinstance(components, dict)
        for reference in references(document):
            kind, _, name = reference.removeprefix("#/components/").partition("/")
            assert name in components[kind], reference
        paths = document["paths"]
        assert isinstance(paths, dict)
        for path, operations in paths.items():
            for method, operation in operations.items():
                where = f"{role}: {method} {path}"
                assert operation["summary"], where
                assert operation["tags"], where
                statuses = {int(status) for status in operation["responses"]}
                assert statuses >= {200}, where
                for status in statuses - {200}:
                    content = operation["responses"][str(status)]["content"]
                    assert set(content) == {"application/problem+json"} or path == "/readyz", f"{where} {status}"


def test_openapi_has_examples_and_is_served(edge: httpx2.Client, documents: dict[str, dict[str, object]]) -> None:
    for path in ("/v1/classify", "/v1/classify/batch"):
        operation = documents["edge"]["paths"][path]["post"]  # type: ignore[index]
        assert operation["responses"]["200"]["content"]["application/json"]["example"][
            "results" if "batch" in path else "label"
        ]
    for role in ("channel", "cloud"):
        parameters = documents[role]["paths"]["/v1/frames"]["post"]["parameters"]  # type: ignore[index]
        assert {parameter["name"] for parameter in parameters} >= {"SpikeLink-Session", "SpikeLink-Digest"}
        assert all(parameter["example"] for parameter in parameters)
    assert edge.get("/openapi.json").json() == documents["edge"]
