# SPDX-License-Identifier: Apache-2.0
"""A measurement or sweep that is killed leaves no worker behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from nodes import until

PARENT = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from {initializer} as initializer
context = get_context("spawn")
pool = ProcessPoolExecutor(1, context, initializer, {arguments})
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(600)
"""
WORKERS = {
    "measurement": ("experiments.evaluation.measure import _start_worker", "(None, context.Queue(), context.Event())"),
    "sweep": ("experiments.sweeps.link_engine import _prepare_worker", "()"),
}


@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_parent_that_is_killed(kind: str, by: signal.Signals) -> None:
    initializer, arguments = WORKERS[kind]
    script = PARENT.format(initializer=initializer, arguments=arguments)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        try:
            assert parent.stdout is not None
            worker = int(parent.stdout.readline())
            os.kill(parent.pid, by)
            parent.wait(30)
            until(lambda: not _lives(worker), "the worker to end")
        finally:
            parent.kill()


def _lives(pid: int) -> bool:
    """Not counting a process that has ended and that nobody has asked for yet."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
