# SPDX-License-Identifier: Apache-2.0
"""What tests start does not outlive a test process that is killed: a worker of pytest that took too much memory."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes import until
from ray_processes import alive, descendants

TESTS = Path(__file__).resolve().parent
PARENT = """
import sys, threading
sys.path.insert(0, {tests!r})
{setup}
with {running} as started:
    {then}
    print("ready", flush=True)
    sys.stdin.read()
"""
#: What is imported, the context in which it runs, and what is done with it.
STARTED = {
    "redis": ("from redis_server import running_redis", "running_redis()", "pass"),
    "redis-restarted-in-a-thread": (
        "from redis_server import running_redis",
        "running_redis()",
        "again = threading.Thread(target=started.restart); again.start(); again.join()",
    ),
    "up": (
        "from test_cli_up import PORTS, running",
        "running('up', *PORTS, until='Ctrl-C stops all four')",
        "pass",
    ),
    "ray": ("from ray_processes import running_head", "running_head()", "pass"),
    "chromium": ("from browser import running_chromium", "running_chromium()", "started.new_page()"),
}


@pytest.fixture(params=STARTED)
def parent(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """A process that has started something as tests do."""
    if request.param == "chromium" and shutil.which("chromium") is None:
        pytest.skip("there is no Chromium")
    setup, running, then = STARTED[request.param]
    script = PARENT.format(tests=str(TESTS), setup=setup, running=running, then=then)
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True, env=environment)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_what_a_test_has_started_ends_with_it(parent: "subprocess.Popen[str]") -> None:
    below = descendants(parent.pid)
    assert below
    parent.kill()
    parent.wait()
    try:
        until(lambda: not alive(below), "the end of all")
    finally:
        for pid in alive(below):
            os.kill(pid, 9)
