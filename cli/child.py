# SPDX-License-Identifier: Apache-2.0
"""One child process: its output is read as it comes, it ends when it is told to, and it can tell when we are gone."""

import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final

_KEPT_LINES: Final = 50


class Child:
    """A running command whose stdout and stderr are read by a thread, so that it never blocks on a full pipe."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[str, str], None] | None = None,
    ) -> None:
        self.name = name
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._on_line = on_line
        # A process group of its own: Ctrl-C reaches the parent alone, which then stops the nodes in their order.
        self._process = subprocess.Popen(
            command,
            env=environment,
            # Nothing is ever written: it ends when this process does, however it does, and tells a node to end too.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name=f"{name}-log", daemon=True
        )
        try:
            self._reader.start()
        except RuntimeError:  # a machine without room for one more thread
            self._process.kill()
            self._process.communicate()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it. Its last lines have been read by then."""
        code = self._process.poll()
        if code is not None:
            self._reader.join(timeout=1.0)
        return code

    def last_lines(self) -> list[str]:
        return list(self._lines)

    def stop(self, deadline: float) -> int:
        """SIGTERM, then SIGKILL at the deadline of the monotonic clock. Does nothing to a process that has ended."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return self.kill()
        return self._ended()

    def kill(self) -> int:
        """SIGKILL. Does nothing to a process that has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        return self._ended()

    def _ended(self) -> int:
        self._reader.join(timeout=1.0)
        return self._process.wait()

    def _read(self, stream: IO[str]) -> None:
        assert self._process.stdin is not None
        with stream, self._process.stdin:
            for line in stream:
                text = line.rstrip("\n")
                self._lines.append(text)
                if self._on_line:
                    self._on_line(self.name, text)
