# SPDX-License-Identifier: Apache-2.0
"""Traffic of every kind that real nodes get, and what their processes hold: memory, files, threads."""

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
from nodes import NEVER, Sender, png
from toy import toy_images

from service.wire import EVENT_STREAM

IMAGES: Final = [png(image) for image in toy_images(8, seed=4)]
PNG: Final = {"Content-Type": "image/png"}
SYSTEMS: Final = ("snn-sc-harq", "snn-sc-margin-harq", "multi-rate", "cnn-1bit")


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    rss_mib: float
    files: int
    threads: int


def held(pid: int) -> Held:
    """As Linux tells it."""
    process = Path(f"/proc/{pid}")
    lines = (line.partition(":") for line in (process / "status").read_text().splitlines())
    status = {name: rest.split() for name, _, rest in lines}
    return Held(int(status["VmRSS"][0]) / 1024, len(list((process / "fd").iterdir())), int(status["Threads"][0]))


class Traffic:
    """Requests of all kinds in turn. Each raises AssertionError where the answer is not the one that is due."""

    def __init__(self, urls: Mapping[str, str], folder: Path) -> None:
        self._urls, self._folder = urls, folder
        self.done: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        self._kinds: dict[str, Callable[[httpx2.Client, int], None]] = {
            "single": self._single,
            "batch": self._batch,
            "streamed": self._streamed,
            "abandoned stream": self._abandoned_stream,
            "abandoned": self._abandoned,
            "cut off": self._cut_off,
            "refused": self._refused,
            "frames": self._frames,
        }

    @contextmanager
    def flowing(self, workers: int) -> Iterator[None]:
        """Traffic from so many callers while the block runs."""
        ended = threading.Event()
        threads = [threading.Thread(target=self._work, args=(ended, number)) for number in range(workers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join(120)
        assert not self.failures, self.failures

    def _work(self, ended: threading.Event, worker: int) -> None:
        names = list(self._kinds)
        with httpx2.Client(timeout=60, trust_env=False) as http:
            for number in itertools.count(worker * 3):
                if ended.is_set() or self.failures:
                    return
                name = names[number % len(names)]
                try:
                    self._kinds[name](http, number)
                except Exception as failure:
                    self.failures.append(failure)
                self.done[name] += 1

    def _url(self, path: str, number: int) -> str:
        """At the edge, or at the dashboard, which passes it on."""
        role = "dashboard" if path == "/v1/classify" and number % 3 == 0 else "edge"
        return self._urls[role] + path

    def _single(self, http: httpx2.Client, number: int) -> None:
        system = SYSTEMS[number // 8 % len(SYSTEMS)]
        terms = {"system": system, "ber": "0.2"} | ({"t": "4"} if system in ("multi-rate", "cnn-1bit") else {})
        url = self._url("/v1/classify", number)
        assert http.post(url, params=terms, content=IMAGES[number % 8], headers=PNG).status_code == 200

    def _batch(self, http: httpx2.Client, number: int) -> None:
        files = [("images", (f"{i}.png", content, "image/png")) for i, content in enumerate(IMAGES[: 1 + number % 8])]
        assert http.post(self._url("/v1/classify/batch", number), params={"ber": "0.1"}, files=files).status_code == 200

    def _streamed(self, http: httpx2.Client, number: int) -> None:
        headers = {**PNG, "Accept": EVENT_STREAM}
        reply = http.post(self._url("/v1/classify", number), params={"ber": "0.3"}, content=IMAGES[0], headers=headers)
        assert "event: result" in reply.text

    def _abandoned_stream(self, http: httpx2.Client, number: int) -> None:
        """After its first round."""
        headers, terms = {**PNG, "Accept": EVENT_STREAM}, {"ber": "0.3", "threshold": str(NEVER)}
        url = self._url("/v1/classify", number)
        with http.stream("POST", url, params=terms, content=IMAGES[1], headers=headers) as reply:
            assert any(line == "event: round" for line in reply.iter_lines())

    def _abandoned(self, _: httpx2.Client, number: int) -> None:
        """Before anything is answered."""
        self._raw(self._url("/v1/classify", number), len(IMAGES[2]), IMAGES[2])

    def _cut_off(self, _: httpx2.Client, number: int) -> None:
        """In the middle of the body."""
        self._raw(self._url("/v1/classify", number), len(IMAGES[3]), IMAGES[3][:100])

    def _raw(self, url: str, length: int, body: bytes) -> None:
        parts = urlsplit(url)
        lines = (f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: image/png")
        head = "\r\n".join((*lines, f"Content-Length: {length}"))
        with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
            connection.sendall(head.encode() + b"\r\n\r\n" + body)

    def _refused(self, http: httpx2.Client, number: int) -> None:
        url = self._url("/v1/classify", number)
        assert http.post(url, content=IMAGES[0][:-40], headers=PNG).status_code == 422
        assert http.post(url, content=b"GIF89a", headers={"Content-Type": "image/gif"}).status_code == 415
        assert http.post(url, params={"ber": "2"}, content=IMAGES[0], headers=PNG).status_code == 422
        assert http.get(self._urls["channel"] + "/v1/links/sideways").status_code == 404
        unknown = self._urls["cloud"] + f"/v1/sessions/{'0' * 32}/result"
        assert http.post(unknown, json={"blocks": [0]}).status_code == 410

    def _frames(self, http: httpx2.Client, number: int) -> None:
        """A session that is begun at the cloud, repeated, disturbed, and every other time never closed."""
        sender = Sender(self._folder)
        url = self._urls["cloud"] + "/v1/frames"
        for round_, status in ((1, 200), (2, 200), (1, 200), (4, 409)):
            frame = sender.frame(round_)
            assert http.post(url, content=frame.payload, headers=frame.headers()).status_code == status
        if number // 8 % 2:
            result = self._urls["cloud"] + f"/v1/sessions/{sender.session}/result"
            assert http.post(result, json={"blocks": [0]}).status_code == 200


def settled(pids: Mapping[str, int], patience_s: float = 20.0) -> dict[str, Held]:
    """What each node holds once its files and threads have stopped growing fewer: looked at for a second in a row."""
    known, since_s, deadline_s = {}, time.monotonic(), time.monotonic() + patience_s
    while time.monotonic() - since_s < 1.0 and time.monotonic() < deadline_s:
        now = {role: held(pid) for role, pid in pids.items()}
        counts = {role: (each.files, each.threads) for role, each in now.items()}
        if counts != known:
            known, since_s = counts, time.monotonic()
        time.sleep(0.1)
    return {role: held(pid) for role, pid in pids.items()}
