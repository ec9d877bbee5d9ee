# SPDX-License-Identifier: Apache-2.0
"""What tests of sweeps on Ray share: a cluster on loopback, and a look at processes and where they listen."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bound_process import bound
from nodes import until

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "0123456789abcdef" * 4
LISTENS = "0A"


def environment(**values: str) -> dict[str, str]:
    """Of a process with nothing of Ray's but this."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"} | values


@dataclass(frozen=True)
class Head:
    """A Ray node that is a cluster of its own."""

    address: str
    pid: int


@contextmanager
def running_head() -> Iterator[Head]:
    """Two cores on loopback, with TOKEN; all of its processes are gone at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--port", str(port)]
        command += ["--num-cpus", "2", "--object-store-memory", "100000000", "--temp-dir", folder]
        command += ["--include-dashboard", "false", "--disable-usage-stats"]
        values = environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
        said = Path(folder, "said")
        with running_ray(command, said, values) as process:
            until(lambda: "Ray runtime started" in said.read_text() or process.poll() is not None, "the head")
            assert process.poll() is None, said.read_text()
            yield Head(f"127.0.0.1:{port}", process.pid)


@contextmanager
def running_ray(command: list[str], said: Path, values: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A process with Ray's below it, and where it writes; all are gone at the end, and when the test's process is."""
    with said.open("w") as file:
        process = bound(
            command,
            lambda whole: subprocess.Popen(whole, cwd=ROOT, env=values, stdout=file, stderr=file, text=True),
            signal.SIGTERM,  # Ray's processes end with it; of SIGKILL they would not know
        )
    with process:
        try:
            yield process
        finally:
            _ended(process)


def _ended(process: "subprocess.Popen[str]") -> None:
    """Ask it to end, and wait until its descendants are gone; fails the test where one stays, and kills it."""
    left = descendants(process.pid)
    process.terminate()
    try:
        until(lambda: process.poll() is not None and not alive(left), "the end of Ray's processes")
    finally:
        for pid in [*alive(left), *([process.pid] if process.poll() is None else [])]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all processes below one."""
    children: dict[int, list[int]] = {}
    for other in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        if (stat := _read(other, "stat")) is not None:
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(other)
    found, left = {}, [*children.get(pid, [])]
    while left:
        child = left.pop()
        left += children.get(child, [])
        found[child] = (_read(child, "cmdline") or "").replace("\0", " ").strip()
    return found


def alive(processes: Mapping[int, str]) -> list[int]:
    """Those that have not ended; one that nobody has buried yet has."""
    stats = {pid: _read(pid, "stat") for pid in processes}
    return [pid for pid, stat in stats.items() if stat is not None and stat.rpartition(")")[2].split()[0] != "Z"]


def workers_of(pid: int) -> list[int]:
    return [child for child, command in descendants(pid).items() if command.startswith("ray::RayWorker")]


def ready_workers_of(pid: int) -> list[int]:
    """Those that have loaded their models."""
    every = descendants(pid).items()
    return [child for child, command in every if command in ("ray::RayWorker", "ray::RayWorker.compute")]


def both_stopped(pid: int) -> tuple[int, int]:
    """The two workers below a process, stopped: one that has done units, and one that may only be starting."""
    first, *_ = ready_workers_of(pid)
    os.kill(first, signal.SIGSTOP)
    until(lambda: len(workers_of(pid)) == 2, "the other worker", 240)
    (second,) = set(workers_of(pid)) - {first}
    os.kill(second, signal.SIGSTOP)
    return first, second


def environment_of(pid: int) -> dict[str, str]:
    pairs = (line.partition("=") for line in (_read(pid, "environ") or "").split("\0"))
    return {name: value for name, _, value in pairs}


def listening(processes: Mapping[int, str]) -> set[str]:
    """The addresses, as /proc/net has them, at which they wait for connections."""
    inodes = set()
    for pid in processes:
        with suppress(FileNotFoundError):
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    inodes.add(os.readlink(file))
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {line[1].partition(":")[0] for line in lines if line[3] == LISTENS and f"socket:[{line[9]}]" in inodes}


def _read(pid: int, name: str) -> str | None:
    try:
        return Path(f"/proc/{pid}", name).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
