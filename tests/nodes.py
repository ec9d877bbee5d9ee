# SPDX-License-Identifier: Apache-2.0
"""Nodes for tests: real processes, applications in a thread of this one, and frames to the cloud made by hand."""

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

import httpx2
import numpy as np
import uvicorn
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image
from toy import load_networks, toy_images

from channel.bits import PRIOR_BITS, Bits, pack
from channel.transmission import transmit
from cli.nodes import make_desk
from cli.processes import Launch, Nodes, Ports, running_nodes
from models.inference import Inference, choose_device
from models.profiles import PROFILES
from models.systems import SYSTEMS, frame_of_round, last_round
from models.transmitter import Transmitter
from models.weights import read_manifest
from service.bounds import TimeBounds
from service.connections import bounded_protocol
from service.nodes.channel.app import create_channel
from service.nodes.cloud.app import create_cloud
from service.nodes.dashboard.app import create_dashboard
from service.nodes.edge.app import create_edge
from service.settings import ChannelSettings, CloudSettings, DashboardSettings, EdgeSettings
from service.stores import Stored, open_store
from service.wire import CROSSOVER, OCTETS, FrameAnswer, FrameHead, Problem

PROFILE: Final = PROFILES["resnet18"]
PATIENCE_S: Final = 60.0
NOWHERE: Final = "http://127.0.0.1:9"  # nobody listens at the discard port
NEVER, AT_ONCE = 1.0, -1.0  # theta: no similarity exceeds the one, every one exceeds the other


def png(image_CHW: NDArray[np.uint8]) -> bytes:
    """A lossless file of an image."""
    file = io.BytesIO()
    Image.fromarray(image_CHW.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition; fails the test where it does not come true."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {patience_s:g} s in vain for: {what}"
        time.sleep(0.005)


@contextmanager
def three_nodes(
    folder: Path, environment: Mapping[str, Mapping[str, str]], ports: Ports | None = None
) -> Iterator[Nodes]:
    """Edge, channel and cloud as processes on free ports, with the weights of a folder and one thread each.

    ``environment`` has further variables by role, under ``""`` for all.
    """
    shared = {"SPIKELINK_WEIGHTS": str(folder), "SPIKELINK_TORCH_THREADS": "1", "SPIKELINK_DEVICE": "cpu"}
    variables = {**environment, "": {**shared, **environment.get("", {})}}
    with running_nodes(ports or Ports(0, 0, 0), Launch(environment=variables, deadline_s=300.0)) as nodes:
        yield nodes


@contextmanager
def serving(app: FastAPI | TimeBounds, http: "str | type[asyncio.Protocol]" = "httptools") -> Iterator[httpx2.Client]:
    """An application behind a real port, in a thread; the client's ``base_url`` says where."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=http, log_config=None, timeout_keep_alive=65, timeout_graceful_shutdown=5,
                            server_header=False, date_header=False)  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="serving")
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive(), "the application's start")
        assert server.started, "the application did not start"
        url = "http://{}:{}".format(*listener.getsockname())
        with httpx2.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()


@contextmanager
def serving_node(app: FastAPI, receive_s: float = PATIENCE_S) -> Iterator[httpx2.Client]:
    """A node's application with the bounds that its process has (service/run.py)."""
    with serving(TimeBounds(app, receive_s), bounded_protocol(receive_s, app.state.node.refused)) as client:
        yield client


def stored(url: str, session: str) -> Stored | None:
    """What lies in a store under a session, read past the cloud."""

    async def load() -> Stored | None:
        store = open_store(url)
        await store.open()
        try:
            return await store.load(session)
        finally:
            await store.close()

    return asyncio.run(load())


def metric(client: httpx2.Client, name: str, **labels: str) -> float:
    """The value of a metric, summed over the labels that are not named; 0 where it has not been counted yet."""
    total = 0.0
    for line in client.get("/metrics").text.splitlines():
        key, _, value = line.rpartition(" ")
        found, _, rest = key.partition("{")
        if found == f"spikelink_{name}" and all(f'{label}="{text}"' in rest for label, text in labels.items()):
            total += float(value)
    return total


def problem(response: httpx2.Response, status: int) -> Problem:
    """The problem document of a refusal; fails the test where it is none, or has another status."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    found = Problem.model_validate_json(response.content)
    assert found.status == status
    assert found.title
    assert found.detail
    assert found.request_id == response.headers["X-Request-ID"]
    return found


@dataclass(frozen=True)
class HandFrame:
    """A frame as it leaves the channel."""

    head: FrameHead
    payload: bytes
    crossover: float

    def headers(self) -> dict[str, str]:
        return {**self.head.to_headers(), CROSSOVER: repr(self.crossover), "Content-Type": OCTETS}

    def but(self, **changes: object) -> "HandFrame":
        """The same frame with other metadata."""
        return replace(self, head=self.head.model_copy(update=changes))


@dataclass(frozen=True)
class Sender:
    """Edge and channel of one session, by hand: any frame, in any order, as often as wanted."""

    folder: Path
    system: str = "snn-sc-harq"
    images: int = 1
    image_seed: int = 11
    ber: float = 0.1
    seed: int = 3
    theta: float | None = NEVER
    t: int | None = None

    @cached_property
    def session(self) -> str:
        return uuid4().hex

    @property
    def pixels(self) -> NDArray[np.uint8]:
        return toy_images(self.images, self.image_seed)

    def frame(self, round_: int, blocks: Sequence[int] | None = None, ber: float | None = None) -> HandFrame:
        """The frame of a round, for some blocks (all by default), after the channel's noise."""
        frame = frame_of_round(SYSTEMS[self.system], PROFILE.harq, round_, self.t)
        process_BN = _process(self.folder, frame.codec, self.images, self.image_seed)
        rows = list(range(self.images) if blocks is None else blocks)
        payload = pack(process_BN[rows, frame.position : frame.position + frame.bits])
        crossover = self.ber if ber is None else ber
        received = transmit(payload, crossover, seed=self.seed, blocks=rows, position=frame.position)
        head = FrameHead(
            session=self.session,
            round=round_,
            t=frame.t,
            position=frame.position,
            blocks=tuple(rows),
            system=self.system,
            profile=PROFILE.name,
            weights=read_manifest(PROFILE.name, self.folder).weights_sha256,
            threshold=self.theta if SYSTEMS[self.system].takes_threshold else None,
            digest=sha256(payload).hexdigest(),
        )
        return HandFrame(head, received.payload, crossover)


@cache
def _transmitter(folder: Path) -> Transmitter:
    return Transmitter(load_networks(folder)[0], Inference(choose_device("cpu")))


@cache
def _process(folder: Path, codec: str, images: int, image_seed: int) -> Bits:
    """All that a codec sends of every image: K and S_1..S_T, the codeword, eight blocks after 32 zeros, the feature."""
    transmitter = _transmitter(folder)
    state = transmitter.begin(toy_images(images, image_seed))
    name = {"snn-sc": "snn-sc-harq", "snn-sc-ldpc": "snn-sc-ldpc-harq", "cnn-1bit": "cnn-1bit"}.get(codec, "bypass")
    system, t = SYSTEMS[name], 8 if SYSTEMS[name].takes_t else None
    frames = []
    for round_ in range(1, last_round(system, PROFILE.harq) + 1):
        frame = frame_of_round(system, PROFILE.harq, round_, t)
        bits_BN, state = transmitter.encode(state, frame)
        frames.append(bits_BN)
    before = np.zeros((images, PRIOR_BITS if t else 0), dtype=np.uint8)
    return np.concatenate((before, *frames), axis=1)


@dataclass(frozen=True)
class Cloud:
    """A cloud in a thread of this process, and its store."""

    http: httpx2.Client
    app: FastAPI
    store_url: str

    def post(self, frame: HandFrame) -> httpx2.Response:
        return self.http.post("/v1/frames", content=frame.payload, headers=frame.headers())

    def send(self, frame: HandFrame) -> FrameAnswer:
        """The answer to a frame that is accepted."""
        response = self.post(frame)
        assert response.status_code == 200, response.text
        return FrameAnswer.model_validate_json(response.content)

    def result(self, session: str, *blocks: int) -> httpx2.Response:
        return self.http.post(f"/v1/sessions/{session}/result", json={"blocks": blocks})

    def record(self, session: str) -> Stored | None:
        return stored(self.store_url, session)


@contextmanager
def running_cloud(folder: Path, store_url: str, **settings: object) -> Iterator[Cloud]:
    """A cloud on a store, in this process."""
    values = {"weights": folder, "store": store_url, "device": "cpu", **settings}
    app = create_cloud(CloudSettings.model_validate(values))
    with serving_node(app) as http:
        yield Cloud(http, app, store_url)


@contextmanager
def running_channel(upstream: str, **settings: object) -> Iterator[httpx2.Client]:
    """A channel before some cloud, in this process."""
    app = create_channel(ChannelSettings.model_validate({"upstream": upstream, **settings}))
    with serving_node(app) as http:
        yield http


@contextmanager
def running_edge(folder: Path, upstream: str, **settings: object) -> Iterator[tuple[httpx2.Client, FastAPI]]:
    """An edge before some channel, in this process."""
    values = {"weights": folder, "upstream": upstream, "device": "cpu", **settings}
    app = create_edge(EdgeSettings.model_validate(values))
    with serving_node(app) as http:
        yield http, app


@contextmanager
def running_dashboard(**settings: object) -> Iterator[httpx2.Client]:
    """A dashboard beside some nodes, in this process; its sweeps are its own unless a store is named."""
    with TemporaryDirectory() as folder:
        named = {"sweep_store": f"sqlite://{folder}/sweeps.sqlite3", **settings}
        values = DashboardSettings.model_validate(named)
        with serving_node(create_dashboard(values, make_desk(values))) as http:
            yield http


def lasting(answer: FrameAnswer) -> FrameAnswer:
    """An answer without what may differ between two runs: its time, and how it came to be."""
    return answer.model_copy(update={"cloud_ms": 0.0, "replayed": False, "durable": True})


def converse(sender: Sender, cloud_of_round: Callable[[int], Cloud]) -> list[FrameAnswer]:
    """A whole session, round by round, each block until its ACK -> the answers' lasting part."""
    answers: list[FrameAnswer] = []
    blocks: list[int] = list(range(sender.images))
    while blocks:
        round_ = len(answers) + 1
        answers.append(lasting(cloud_of_round(round_).send(sender.frame(round_, blocks))))
        blocks = [entry.block for entry in answers[-1].answers if entry.feedback == "NACK"]
    return answers
