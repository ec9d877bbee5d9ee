# SPDX-License-Identifier: Apache-2.0
"""Nodes without networks, for the tests of client and command line: real HTTP, answers of the forms in service.wire.

``python tests/fake_edge.py ROLE`` serves one of them where SPIKELINK_HOST and SPIKELINK_PORT say, as ``spikelink node``
does. FAKE_FAILURE makes it misbehave: ``exit`` (before it serves), ``never-ready``, ``silent`` (classifies nothing),
``deaf`` (ignores SIGTERM). It is made of the standard library, because the tests start dozens of them.
"""

import json
import os
import signal
import sys
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel

from channel.bits import PRIOR_BITS
from channel.transmission import CHANNELS
from service.wire import (
    EVENT_STREAM,
    FEEDBACK,
    BatchClassification,
    Classification,
    Label,
    LinkChange,
    LinkCounters,
    NodeInfo,
    Problem,
    ProfileInfo,
    Readiness,
    RoundReport,
    Start,
    parse_blocks,
)

THETA = 0.87
SIMILARITIES = (0.412, 0.655, 0.914)
SESSION = "0123456789abcdef0123456789abcdef"
TOP = (("rocket", 69, 0.712), ("bottle", 9, 0.101), ("tower", 86, 0.064), ("bridge", 12, 0.033), ("lamp", 40, 0.009))


def classification(
    *, ber: float = 0.1, seed: int = 7, block: int = 0, theta: float = THETA, system: str = "snn-sc-harq"
) -> Classification:
    """What an edge could have answered: three rounds where there is noise, one where there is none."""
    scores = SIMILARITIES if ber else SIMILARITIES[-1:]
    enough = next((place for place, score in enumerate(scores) if score > theta), len(scores) - 1)
    scores = scores[: enough + 1]
    rounds = tuple(_round(number, score, ber, theta) for number, score in enumerate(scores, start=1))
    return Classification(
        label="rocket",
        class_index=69,
        top=tuple(Label(label=name, class_index=index, probability=share) for name, index, share in TOP),
        outcome="accepted" if scores[-1] > theta else "exhausted",
        system=system,
        profile="resnet18",
        bandwidth_bits=sum(report.payload_bits for report in rounds),
        wire_bytes=1_204 * len(rounds) + 260,
        feedback_bits=len(rounds),
        ber=ber,
        threshold=theta,
        seed=seed,
        block=block,
        rounds=rounds,
        session=SESSION,
        total_ms=17.25 * len(rounds),
    )


def _round(number: int, score: float, ber: float, theta: float) -> RoundReport:
    bits = 2_080 if number == 1 else 512
    feedback: FEEDBACK = "ACK" if score > theta or number == len(SIMILARITIES) else "NACK"
    return RoundReport(
        round=number, t=number + 3, payload_bits=bits, flipped_bits=round(bits * ber), similarity=score, margin=None,
        outlook=None, feedback=feedback, feedback_inverted=False, edge_ms=3.14 / number, channel_ms=0.42,
        cloud_ms=12.5 + number, arithmetic="cpu float32 tile 4",
    )  # fmt: skip  # one value each is easier to compare with the drawing in three lines


class FakeRefusal(Exception):
    """An answer that is a problem."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


class FakeNode:
    """One role's answers. ``answer`` takes what a request consists of and returns status and document."""

    def __init__(self, role: str) -> None:
        self.role, self.failure, self.token = role, os.environ.get("FAKE_FAILURE"), os.environ.get("FAKE_TOKEN")
        self.links = {
            name: LinkCounters(name=name, revision=0, bits=12_345, flipped_bits=1_230)
            for name in ("forward", "feedback")
        }

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, object]:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match (method, *parts.path.strip("/").split("/")):
            case ("GET", "healthz"):
                return 200, {"status": "ok", "role": self.role}
            case ("GET", "readyz"):
                return self._readiness()
            case ("GET", "v1", "info"):
                return 200, self._info()
            case ("POST", "v1", "classify"):
                return 200, self._classify(query, headers, body)
            case ("POST", "v1", "classify", "batch"):
                return 200, self._batch(query, body)
            case (_, "v1", *rest):
                return 200, self._change(method, rest, headers, body)
        raise FakeRefusal(404, f"there is nothing at {parts.path}")

    def _readiness(self) -> tuple[int, Readiness]:
        if self.failure == "never-ready":
            return 503, Readiness(ready=False, checks={"weights": "missing"})
        return 200, Readiness(ready=True, durable=True if self.role == "cloud" else None, checks={"node": "ok"})

    def _info(self) -> NodeInfo:
        if self.role == "channel":
            return NodeInfo(role=self.role, version="0.1.0", pid=os.getpid())
        resnet18 = ProfileInfo(name="resnet18", available=True, weights_sha256=_weights_sha256(), tile=4)
        profiles = (resnet18, ProfileInfo(name="resnet50", available=False))
        store = "sqlite" if self.role == "cloud" else None
        return NodeInfo(
            role=self.role, version="0.1.0", pid=os.getpid(), profiles=profiles, device="cpu", dtype="float32",
            store=store,
        )  # fmt: skip  # as the real ones say it

    def _classify(self, query: dict[str, str], headers: dict[str, str], body: bytes) -> Classification:
        if (headers.get("content-type"), body[:3]) != ("image/jpeg", b"\xff\xd8\xff") and not body.startswith(
            b"\x89PNG"
        ):
            raise FakeRefusal(415, "the body is not what its content type says")
        if self.failure == "silent":
            threading.Event().wait()
        if query.get("profile", "resnet18") != "resnet18":
            raise FakeRefusal(503, f"profile {query['profile']} has no weights", **{"Retry-After": "30"})
        ber, theta = float(query.get("ber", 0.0)), float(query.get("threshold", THETA))
        return classification(ber=ber, theta=theta, seed=int(query.get("seed", 99)), block=int(query.get("block", 0)))

    def _batch(self, query: dict[str, str], body: bytes) -> BatchClassification:
        count = body.count(b'name="images"')
        blocks = parse_blocks(query["blocks"]) if "blocks" in query else range(count)
        ber, seed = float(query.get("ber", 0.0)), int(query.get("seed", 99))
        theta, system = float(query.get("threshold", THETA)), query.get("system", "snn-sc-harq")
        results = tuple(
            _flipped(classification(ber=ber, seed=seed, block=block, theta=theta, system=system)) for block in blocks
        )
        if len(results) != count:
            raise FakeRefusal(422, f"{count} images, but {len(results)} blocks")
        exchanges = max(len(result.rounds) for result in results)
        return BatchClassification(
            results=results, session=SESSION, exchanges=exchanges, wire_bytes=9_999, total_ms=80.5
        )

    def _change(self, method: str, path: list[str], headers: dict[str, str], body: bytes) -> object:
        if self.token and method != "GET" and headers.get("authorization") != f"Bearer {self.token}":
            raise FakeRefusal(401, "send 'Authorization: Bearer TOKEN'")
        quiet: dict[str, float] = {"ber": 0.0, "latency_ms": 0.0}
        match (method, *path):
            case ("GET", "links"):
                return list(self.links.values())
            case ("POST", "reset"):
                return [self._update(name, quiet) for name in self.links]
            case ("POST", "links", name, "reset"):
                return self._update(name, quiet)
            case ("PATCH", "links", name):
                return self._update(name, LinkChange.model_validate_json(body).model_dump(exclude_none=True))
        raise FakeRefusal(404, "there is nothing there")

    def _update(self, name: str, values: dict[str, float]) -> LinkCounters:
        if name not in self.links:
            raise FakeRefusal(404, f"there is no link {name!r}: there are forward and feedback")
        revision = self.links[name].revision + 1
        self.links[name] = self.links[name].model_copy(update={**values, "revision": revision})
        return self.links[name]


def _flipped(result: Classification) -> Classification:
    """The same with the flips that a channel of independent errors would make: sweeps look at them."""
    rounds, position = [], 0
    if result.system == "snn-sc-margin-harq":  # it sends no prior bits, which stand first
        position = PRIOR_BITS
        spikes = result.rounds[0].payload_bits - PRIOR_BITS
        first = result.rounds[0].model_copy(update={"payload_bits": spikes})
        result = result.model_copy(update={"rounds": (first, *result.rounds[1:])})
    for report in result.rounds:
        mask_N = CHANNELS["bsc"].flips(
            result.ber, seed=result.seed, block=result.block, position=position, count=report.payload_bits
        )
        rounds.append(report.model_copy(update={"flipped_bits": int(mask_N.sum())}))
        position += report.payload_bits
    return result.model_copy(update={"rounds": tuple(rounds)})


def _weights_sha256() -> str:
    """Of the weights beside this checkout, as models/weights.py defines it; importing that would load PyTorch."""
    manifest = json.loads((Path(__file__).parents[1] / "weights" / "resnet18" / "manifest.json").read_text())
    lines = "".join(f"{name} {part['sha256']}\n" for name, part in sorted(manifest["parts"].items()))
    return sha256(lines.encode()).hexdigest()


class FakeHandler(BaseHTTPRequestHandler):
    """HTTP around the node that its server carries."""

    protocol_version = "HTTP/1.1"
    server: "FakeServer"

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        extra, kind = {}, "application/json"
        try:
            status, document = self.server.node.answer(self.command, self.path, headers, body)
        except FakeRefusal as refusal:
            status, extra, kind = refusal.status, refusal.headers, "application/problem+json"
            document = Problem(title="Refused", status=status, detail=refusal.detail)
        content = _json(document).encode()
        if isinstance(document, Classification) and self.headers.get("Accept") == EVENT_STREAM:
            content, kind = _events(document), EVENT_STREAM
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = _respond

    def log_message(self, format: str, *args: object) -> None:
        """Silent, as the nodes are about single requests."""


class FakeServer(ThreadingHTTPServer):
    """A server that carries its node."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], node: FakeNode) -> None:
        super().__init__(address, FakeHandler)
        self.node = node


def _json(document: object) -> str:
    if isinstance(document, BaseModel):
        return document.model_dump_json()
    if isinstance(document, list):
        return f"[{','.join(_json(each) for each in document)}]"
    return json.dumps(document)


def _events(result: Classification) -> bytes:
    start = Start.model_validate(result.model_dump(include=set(Start.model_fields)))
    named = [("start", start), *(("round", report) for report in result.rounds), ("result", result)]
    return "".join(f"event: {name}\ndata: {_json(event)}\n\n" for name, event in named).encode()


def _serve(role: str) -> None:
    node = FakeNode(role)
    if node.failure == "exit":
        sys.stderr.write("loading\nWeightsError: the weights are not there\n")
        raise SystemExit(3)

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if node.failure == "deaf" else end)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with FakeServer((os.environ["SPIKELINK_HOST"], int(os.environ["SPIKELINK_PORT"])), node) as server:
        sys.stdout.write(f"started [{os.getpid()}]\n")
        sys.stdout.flush()
        try:
            server.serve_forever(poll_interval=0.05)
        finally:
            sys.stdout.write("ended\n")


def _end_with_stdin() -> None:
    """As a node does that is told to."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve(sys.argv[1])
