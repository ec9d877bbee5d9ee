# SPDX-License-Identifier: Apache-2.0
"""All four nodes as processes on a real redis-server, any of which can be killed, stopped, frozen and started again."""

import os
import select
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import httpx2
from edge_line import PNG
from essence import Essence, of_reply, of_trace
from nodes import NEVER, PATIENCE_S, Sender, metric, png, three_nodes, until
from redis_server import RedisServer, running_redis
from toy import load_link, toy_images

from cli.processes import Nodes, Ports
from models.link import Request
from models.systems import SYSTEMS
from service.wire import SEED, Classification

SYSTEM: Final = "snn-sc-harq"
TERMS: Final = {"ber": 0.2, "seed": 9, "threshold": NEVER}  # five rounds each
#: Seconds in which a request must arrive: far more than a busy machine takes, far less than a test may.
RECEIVE_S: Final = 4.0


@dataclass
class FaultLine:
    """The processes. ``variables`` are those with which a role is started the next time."""

    nodes: Nodes
    redis: RedisServer
    weights: Path
    data: Path
    variables: dict[str, dict[str, str]] = field(repr=False)

    def http(self, role: str) -> httpx2.Client:
        return httpx2.Client(base_url=self.nodes.urls[role], timeout=PATIENCE_S, trust_env=False)

    def kill(self, part: str) -> None:
        if part == "redis":
            self.redis.kill()
        else:
            assert self.nodes.kill(part) == -signal.SIGKILL

    def start(self, part: str) -> None:
        if part == "redis":
            self.redis.start()
        else:
            self.nodes.start(part)

    @contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """Stopped as by SIGSTOP: connections are accepted, by the kernel, and nothing is answered."""
        if part == "redis":
            self.redis.freeze()
        else:
            os.kill(self.nodes.pids[part], signal.SIGSTOP)
        try:
            yield
        finally:
            if part == "redis":
                self.redis.thaw()
            else:
                os.kill(self.nodes.pids[part], signal.SIGCONT)

    @contextmanager
    def with_grace(self, role: str, grace_s: int) -> Iterator[None]:
        """A node with another grace, which the block ends; afterwards it runs as before."""
        self.nodes.stop(role)
        self.variables[role]["SPIKELINK_GRACE_S"] = str(grace_s)
        self.nodes.start(role)
        del self.variables[role]["SPIKELINK_GRACE_S"]
        try:
            yield
        finally:
            self.nodes.stop(role)
            self.nodes.start(role)

    def frames(self) -> float:
        """Frames that this cloud process has answered."""
        with self.http("cloud") as cloud:
            return metric(cloud, "cloud_frames_total")

    def wait_for_frames(self, more: int) -> None:
        """Until the cloud has answered so many more."""
        goal = self.frames() + more
        until(lambda: self.frames() >= goal, "further frames")


@contextmanager
def fault_line(weights: Path, data: Path, latency_ms: int = 50) -> Iterator[FaultLine]:
    """Started and ready; redis holds the sessions and the sweeps, and keeps both when it is killed.

    ``data`` has the images of the dashboard's sweeps; each frame is ``latency_ms`` on its way.
    """
    with running_redis(appendonly=True) as redis:
        variables: dict[str, dict[str, str]] = {
            "": {"SPIKELINK_RECEIVE_S": str(RECEIVE_S), "SPIKELINK_DEADLINE_S": "120"},
            "edge": {},
            "channel": {"SPIKELINK_LATENCY_MS": str(latency_ms)},
            "cloud": {"SPIKELINK_STORE": redis.url},
            "dashboard": {"SPIKELINK_SWEEP_STORE": sweep_url(redis), "SPIKELINK_DATA": str(data)},
        }
        with three_nodes(weights, variables, Ports(0, 0, 0, dashboard=0)) as nodes:
            yield FaultLine(nodes, redis, weights, data, variables)


def sweep_url(redis: RedisServer) -> str:
    """Another database of the server than the sessions'."""
    return f"{redis.url.removesuffix('/0')}/1"


class Load:
    """Images at the edge or the dashboard, several at once, each sent once by a caller that does not try again."""

    def __init__(self, line: FaultLine, images: int) -> None:
        self._line = line
        self.files = [png(image) for image in toy_images(images, seed=21)]

    def expected(self) -> list[Essence]:
        """What the in-process link says."""
        pixels, blocks = toy_images(len(self.files), seed=21), tuple(range(len(self.files)))
        request = Request(SYSTEMS[SYSTEM], float(TERMS["ber"]), int(TERMS["seed"]), blocks, float(TERMS["threshold"]))
        return [of_trace(trace) for trace in load_link(self._line.weights).run(pixels, request)]

    def target(self, number: int) -> str:
        return "/v1/classify?" + urlencode({**TERMS, "block": number})

    @contextmanager
    def running(self) -> Iterator[list["Future[Classification]"]]:
        """All of them at the edge; inside the block they are on their way, none is answered."""
        with ExitStack() as stack:
            edge = stack.enter_context(self._line.http("edge"))
            pool = stack.enter_context(ThreadPoolExecutor(len(self.files)))

            def classify(number: int) -> Classification:
                response = edge.post(self.target(number), content=self.files[number], headers=PNG)
                assert response.status_code == 200, response.text
                return Classification.model_validate_json(response.content)

            futures = [pool.submit(classify, number) for number in range(len(self.files))]
            self._line.wait_for_frames(len(self.files))
            assert not any(future.done() for future in futures), "the fault would come too late"
            yield futures


def essences(replies: Sequence[Classification]) -> list[Essence]:
    return [of_reply(reply) for reply in replies]


class Sent:
    """A request whose bytes have left: the kernel of the other side has them, whether its process runs or not."""

    def __init__(self, url: str, target: str, body: bytes, headers: dict[str, str]) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._connection = HTTPConnection(host, int(port), timeout=PATIENCE_S)
        try:
            self._connection.request("POST", target, body, headers)
        except OSError:  # a node that ends may take the connection and none of its bytes
            self._connection.close()
            raise

    def is_answered(self, within_s: float) -> bool:
        """Whether anything has come back, or comes now."""
        return bool(select.select([self._connection.sock], [], [], within_s)[0])

    def answer(self) -> tuple[HTTPResponse, bytes]:
        with closing(self._connection):
            response = self._connection.getresponse()
            return response, response.read()


def sent_to(line: FaultLine, role: str, load: Load) -> list[Sent]:
    """The images to the edge or the dashboard; first frames, one a session, to the channel or the cloud."""
    url = line.nodes.urls[role]
    if role in ("edge", "dashboard"):
        return [Sent(url, load.target(number), file, PNG) for number, file in enumerate(load.files)]
    frames = [Sender(line.weights, image_seed=number).frame(1) for number in range(len(load.files))]
    return [Sent(url, "/v1/frames", each.payload, {**each.headers(), SEED: "3"}) for each in frames]


def refusal(line: FaultLine, role: str) -> int | None:
    """The status with which a node answers a new request that is wrong; None where it takes no connection."""
    target = "/v1/classify" if role in ("edge", "dashboard") else "/v1/frames"
    try:
        return Sent(line.nodes.urls[role], target, b"", {"Content-Type": "text/plain"}).answer()[0].status
    except (OSError, HTTPException):
        return None
