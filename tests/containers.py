# SPDX-License-Identifier: Apache-2.0
"""Containers for tests: is there an engine, the images of this tree, compose projects that are always removed."""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import gettempdir
from typing import Final

import numpy as np
import pytest
from PIL import Image

from client import Client
from service.wire import Classification

ROOT: Final = Path(__file__).resolve().parents[1]
CHANNEL_IMAGE: Final = "spikelink-channel"
MODEL_IMAGE: Final = "spikelink-model-node"
DOCKERFILES: Final = {CHANNEL_IMAGE: "docker/channel.Dockerfile", MODEL_IMAGE: "docker/model-node.Dockerfile"}

_BUILD_S: Final = 900
_READY_S: Final = 180
_POLL_S: Final = 0.2
_HEALTH: Final = "{{.State.Health.Status}}"

#: Opens a TCP connection to each HOST:PORT given -> "open" or the error's name, one line each.
PROBE: Final = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def probe(target):
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
        return "open"
    except OSError as error:
        return type(error).__name__
with ThreadPoolExecutor() as pool:
    print(*pool.map(probe, sys.argv[1:]), sep="\\n")
"""


def require(problem: str | None) -> None:
    """Skip for a reason, or fail for it where SPIKELINK_REQUIRE_CONTAINERS=1 says that nothing may be skipped."""
    if problem is None:
        return
    if os.environ.get("SPIKELINK_REQUIRE_CONTAINERS") == "1":
        pytest.fail(f"SPIKELINK_REQUIRE_CONTAINERS=1, but {problem}")
    pytest.skip(problem)


@cache
def engine_problem() -> str | None:
    """Why no container can be started here, or None."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "no Docker engine answers"
    return None if compose_command() else "neither 'docker compose' nor docker-compose is installed"


@cache
def compose_command() -> tuple[str, ...]:
    """Compose v2 where it is there, else docker-compose, else nothing."""
    probe = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if probe.returncode == 0:
        return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") else ()


def run(*command: str, timeout_s: float = 120, env: Mapping[str, str] | None = None) -> str:
    """A command's standard output. Fails the test with all that it wrote where its exit code is not 0."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        pytest.fail(
            f"{' '.join(command)[:200]}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done.stdout


def until(what: str, holds: Callable[[], bool], deadline_s: float) -> None:
    """Ask again and again until it holds; fails the test at the deadline."""
    end = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"after {deadline_s:g} s still not: {what}")
        time.sleep(_POLL_S)


@cache
def build_images() -> None:
    """Both images from this tree, once a run; where several processes test, one after the other, from its cache."""
    torch_index = os.environ.get("TORCH_INDEX_URL", "")
    for image, dockerfile in DOCKERFILES.items():
        arguments = ("--build-arg", f"TORCH_INDEX_URL={torch_index}") if image == MODEL_IMAGE else ()
        build(image, dockerfile, *arguments)


def build(image: str, dockerfile: str, *arguments: str) -> None:
    """One image from this tree; whoever else builds meanwhile waits."""
    command = ("docker", "build", "--network=host", *arguments, "--file", dockerfile, "--tag", image, ".")
    with (Path(gettempdir()) / "spikelink-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(*command, timeout_s=_BUILD_S)


def in_image(image: str, code: str) -> str:
    """What Python code prints in a container of an image."""
    return run("docker", "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", code).strip()


@dataclass(frozen=True)
class Project:
    """A compose project."""

    name: str
    file: str
    env: Mapping[str, str] = field(default_factory=dict)
    _containers: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, timeout_s: float = 300) -> str:
        command = (*compose_command(), "-p", self.name, "-f", self.file, *arguments)
        return run(*command, timeout_s=timeout_s, env=self.env)

    def container(self, service: str) -> str:
        """The id of a service's container, which stays when it is stopped and started again."""
        if service not in self._containers:
            self._containers[service] = self.compose("ps", "-q", service).strip()
        return self._containers[service]

    def forget(self) -> None:
        """Ask for the ids again: the containers have been replaced."""
        self._containers.clear()

    def inspect(self, service: str, template: str) -> str:
        return run("docker", "inspect", "--format", template, self.container(service)).strip()

    def execute(self, service: str, *command: str) -> str:
        return run("docker", "exec", self.container(service), *command).strip()

    def refuses(self, service: str, *command: str) -> bool:
        """Whether a command fails in a container."""
        whole = ("docker", "exec", self.container(service), *command)
        return subprocess.run(whole, capture_output=True, timeout=60, check=False).returncode != 0

    def reach(self, service: str, *targets: str) -> list[str]:
        """For each HOST:PORT ``open``, or the name of the error that a connection from a container meets."""
        return self.execute(service, "python", "-c", PROBE, *targets).splitlines()

    def url(self, service: str, port: int) -> str:
        """Where a port is published on this machine."""
        return f"http://{self.compose('port', service, str(port)).strip()}"

    def wait_healthy(self, service: str) -> None:
        """Fails the test with what the service wrote where it does not become healthy."""
        try:
            until(f"{service} is healthy", lambda: self.inspect(service, _HEALTH) == "healthy", _READY_S)
        except BaseException:
            self.show(service)
            raise

    def show(self, *services: str) -> None:
        """Print the last lines of their logs, which pytest shows with a failure."""
        print(self.compose("logs", "--tail=40", *services))  # noqa: T201


@contextmanager
def started(project: Project) -> Iterator[Project]:
    """The project's containers, up; removed with their volumes at the end, their logs shown where starting fails."""
    try:
        try:
            project.compose("up", "-d", timeout_s=_READY_S)
        except BaseException:
            project.show()
            raise
        yield project
    finally:
        project.compose("down", "-v", "--timeout", "10")


def picture() -> bytes:
    """A 32x32 PNG."""
    rows, columns = np.mgrid[0:32, 0:32]
    pixels = np.stack([rows * 8, columns * 8, (rows * columns) % 256], axis=-1).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def classify(client: Client) -> Classification:
    """All five rounds of one session: no similarity exceeds 1."""
    return client.classify(picture(), media_type="image/png", threshold=1.0, ber=0.1, seed=7)


def outcome(result: Classification) -> tuple[object, ...]:
    """What the nodes computed, and nothing that depends on time."""
    rounds = [(r.t, r.payload_bits, r.flipped_bits, r.similarity, r.margin, r.feedback) for r in result.rounds]
    return result.outcome, result.label, result.top, result.bandwidth_bits, rounds
