# SPDX-License-Identifier: Apache-2.0
"""The traffic of three processes, captured on both hops: it holds what it should and no more."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from nodes import AT_ONCE, NEVER, png, problem, three_nodes
from recording_proxy import RecordingProxy, recording_proxy
from toy import toy_images

from cli.processes import Nodes, Ports
from client import Client, Node
from service.wire import Classification

SEED = 7205759403792793
IMAGE = png(toy_images(1, seed=12)[0])


@dataclass(frozen=True)
class Tapped:
    """The nodes with a proxy on each hop."""

    nodes: Nodes
    uplink: RecordingProxy
    downlink: RecordingProxy

    def classify(self, **terms: float | str | int) -> Classification:
        self.forget()
        with Client(self.nodes.urls["edge"]) as client:
            return client.classify(IMAGE, seed=SEED, **terms)  # type: ignore[arg-type]  # as the client takes them

    def forget(self) -> None:
        self.uplink.exchanges.clear()
        self.downlink.exchanges.clear()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def tapped(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tapped]:
    store = f"sqlite://{tmp_path_factory.mktemp('store') / 'sessions.sqlite3'}"
    channel, cloud = free_port(), free_port()
    with (
        recording_proxy(f"http://127.0.0.1:{channel}") as uplink,
        recording_proxy(f"http://127.0.0.1:{cloud}") as downlink,
    ):
        environment = {
            "edge": {"SPIKELINK_UPSTREAM": uplink.url, "SPIKELINK_DEADLINE_S": "8"},
            "channel": {"SPIKELINK_UPSTREAM": downlink.url},
            "cloud": {"SPIKELINK_STORE": store},
        }
        with three_nodes(toy_folder, environment, Ports(0, channel, cloud)) as nodes:
            yield Tapped(nodes, uplink, downlink)


@pytest.mark.parametrize(
    ("terms", "sizes"),
    [
        ({"threshold": NEVER}, [260, 64, 64, 64, 64]),
        ({"threshold": AT_ONCE}, [260]),
        ({"system": "snn-sc-margin-harq", "threshold": NEVER}, [256, 64, 64, 64, 64]),
        ({"system": "multi-rate", "t": 6}, [384]),
    ],
)
def test_bodies_are_the_payload_and_nothing_else(tapped: Tapped, terms: dict[str, float], sizes: list[int]) -> None:
    reply = tapped.classify(ber=0.3, **terms)
    sent, passed = tapped.uplink.posts(), tapped.downlink.posts()
    assert [len(exchange.request.body) for exchange in sent] == sizes
    assert [len(exchange.request.body) for exchange in passed] == sizes
    assert reply.bandwidth_bits == 8 * sum(sizes)
    assert [entry.payload_bits for entry in reply.rounds] == [8 * size for size in sizes]
    for before, after, entry in zip(sent, passed, reply.rounds, strict=True):
        bits, noisy = (int.from_bytes(exchange.request.body) for exchange in (before, after))
        assert (bits ^ noisy).bit_count() == entry.flipped_bits > 0
        assert before.request.headers["content-type"] == "application/octet-stream"
        digest = sha256(before.request.body).hexdigest()
        assert before.request.headers["spikelink-digest"] == after.request.headers["spikelink-digest"] == digest


def test_bypass_sends_the_feature(tapped: Tapped) -> None:
    reply = tapped.classify(system="bypass")
    assert [len(exchange.request.body) for exchange in tapped.uplink.posts()] == [16_384]
    assert reply.bandwidth_bits == 8 * 16_384


@pytest.mark.parametrize("terms", [{"threshold": NEVER, "ber": 0.25}, {"system": "bypass"}, {"threshold": AT_ONCE}])
def test_wire_bytes_are_those_on_the_wire(tapped: Tapped, terms: dict[str, float]) -> None:
    reply = tapped.classify(**terms)
    assert reply.wire_bytes == sum(exchange.size_bytes for exchange in tapped.uplink.posts())


def test_wire_bytes_with_a_request_for_the_result(tapped: Tapped) -> None:
    with Client(tapped.nodes.urls["edge"], channel_url=tapped.nodes.urls["channel"]) as client:
        client.change_link("feedback", ber=0.5)
        tapped.forget()
        files = [png(image) for image in toy_images(5, seed=13)]
        reply = client.classify_batch(files, ber=0.1, seed=SEED)
        client.reset_links()
    sent = tapped.uplink.posts()
    assert any("/result " in exchange.request.start_line for exchange in sent)
    assert reply.exchanges == len(sent)
    assert reply.wire_bytes == sum(exchange.size_bytes for exchange in sent)


def test_nothing_after_the_channel_could_undo_the_noise(tapped: Tapped) -> None:
    reply = tapped.classify(ber=0.25, threshold=NEVER)
    assert [exchange.request.headers["spikelink-seed"] for exchange in tapped.uplink.posts()] == [str(SEED)] * 5
    passed = tapped.downlink.posts()
    assert len(passed) == 5
    for exchange in passed:
        names = {name for name in exchange.request.headers if name.startswith("spikelink-")}
        assert names == {f"spikelink-{name}" for name in (
            "session", "round", "t", "position", "blocks", "system", "profile", "weights", "threshold", "digest",
            "crossover", "deadline-ms",
        )}  # fmt: skip
        assert exchange.request.headers["spikelink-crossover"] == "0.25"
        for raw in (exchange.request.raw, exchange.response.raw):
            assert str(SEED).encode() not in raw
            assert f"{SEED:x}".encode() not in raw.lower()
            assert b"flipped" not in raw
    assert sum(entry.flipped_bits for entry in reply.rounds) > 0


def test_one_request_id_and_a_shrinking_deadline_on_both_hops(tapped: Tapped) -> None:
    tapped.forget()
    edge = tapped.nodes.urls["edge"]
    headers = {"Content-Type": "image/png", "X-Request-ID": "a-name.of_mine-1"}
    response = httpx2.post(
        f"{edge}/v1/classify", params={"threshold": NEVER}, content=IMAGE, headers=headers, timeout=60
    )
    assert response.status_code == 200
    assert response.headers["X-Request-ID"] == "a-name.of_mine-1"
    sent, passed = tapped.uplink.posts(), tapped.downlink.posts()
    for exchange in (*sent, *passed):
        assert exchange.request.headers["x-request-id"] == "a-name.of_mine-1"
        assert exchange.response.headers["x-request-id"] == "a-name.of_mine-1"
    hops = [[int(e.request.headers["spikelink-deadline-ms"]) for e in hop] for hop in (sent, passed)]
    for left_ms in hops:  # from round to round on each hop
        assert left_ms == sorted(left_ms, reverse=True)
    assert all(before > after for before, after in zip(*hops, strict=True)), "from hop to hop in each round"
    assert hops[0][0] <= 8000


def test_the_nodes_are_three_processes(tapped: Tapped) -> None:
    pids = {}
    for role, url in tapped.nodes.urls.items():
        with Node(url, role=role) as node:
            info = node.info()
        assert info.role == role
        pids[role] = info.pid
    assert pids == tapped.nodes.pids
    assert len(set(pids.values())) == 3


def test_with_the_channel_killed_after_round_1_the_edge_cannot_finish(tapped: Tapped) -> None:
    whole = tapped.classify(threshold=NEVER, ber=0.1)

    def kill() -> None:
        tapped.nodes.kill("channel")

    tapped.uplink.on_reply = kill
    tapped.forget()
    started = time.monotonic()
    response = httpx2.post(
        f"{tapped.nodes.urls['edge']}/v1/classify",
        params={"threshold": NEVER, "ber": 0.1, "seed": SEED},
        content=IMAGE,
        headers={"Content-Type": "image/png"},
        timeout=60,
    )
    elapsed_s = time.monotonic() - started
    tapped.uplink.on_reply = None
    assert response.status_code in (502, 504)
    problem(response, response.status_code)
    assert whole.label not in response.text
    assert elapsed_s < 8 + 5, "the deadline and the time of two computations"
    assert len(tapped.uplink.posts()) == len(tapped.downlink.posts()) == 1, "round 1 and nothing after it"
    tapped.nodes.start("channel")
    again = tapped.classify(threshold=NEVER, ber=0.1)
    assert again.rounds[-1].similarity == whole.rounds[-1].similarity
