# SPDX-License-Identifier: Apache-2.0
"""A real redis-server for tests, on a free port of loopback: it can be killed, restarted and frozen."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from bound_process import bound

_PATIENCE_S = 10.0


@dataclass
class RedisServer:
    """The server keeps its port over restarts, and its data only with `appendonly`."""

    port: int
    folder: str
    appendonly: bool
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder]
        command += ["--appendonly", "yes", "--appendfsync", "always"] if self.appendonly else []
        self._process = bound(command, _start)
        deadline_s = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail(f"redis-server did not start on port {self.port}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, as a crash would be; nothing if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE_S)
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Connections are accepted, answers never come."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except OSError:
            return False


@contextmanager
def running_redis(*, appendonly: bool = False) -> Iterator[RedisServer]:
    """A fresh, empty server, stopped at the end. A machine without redis-server fails the test: it is never skipped."""
    if shutil.which("redis-server") is None:
        pytest.fail("redis-server is not on PATH; the store's tests need it (Debian: apt-get install redis-server)")
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(_free_port(), folder, appendonly)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
