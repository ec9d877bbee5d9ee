# SPDX-License-Identifier: Apache-2.0
"""Sweeps on Ray: the same figures as in process, with workers and heads that are killed, and nobody without a token."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from nodes import until
from ray_processes import (
    ROOT,
    TOKEN,
    Head,
    alive,
    both_stopped,
    descendants,
    environment,
    environment_of,
    listening,
    running_head,
    running_ray,
    workers_of,
)  # fmt: skip  # a list of names
from test_cli_commands import assert_one_line
from toy_cifar import write_toy_test_set
from typer.testing import CliRunner, Result

from cli.app import main
from experiments.sweeps import on_ray
from experiments.sweeps.engine import EngineError
from experiments.sweeps.ray_worker import RayWorker, Terms
from models.weights import read_manifest

pytestmark = pytest.mark.long

SPEC = """
name = "rates"
bers = [0.1, 0.2]
seeds = [7, 8, 9]
unit_images = 1
[images]
data_set = "cifar100-test"
count = 12
[[series]]
system = "multi-rate"
t = [4]
"""
UNITS = 12 * 2 * 3
#: 127.0.0.1 and its like in IPv6, as /proc/net writes them.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
#: They would end by themselves, but try for a minute to tell a dead head first.
AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}


@dataclass
class Bench:
    """Twelve images and a specification."""

    folder: Path
    weights: Path

    def arguments(self, store: str, *more: str) -> list[str]:
        return [*more, *self.kept(store), "--data", str(self.folder), "--weights", str(self.weights)]

    def kept(self, store: str) -> list[str]:
        return ["--store", f"sqlite://{self.folder / store}.sqlite3"]

    def finished(self, store: str) -> int:
        file = self.folder / f"{store}.sqlite3"
        if not file.is_file():
            return 0
        with closing(sqlite3.connect(file)) as connection:
            try:
                return int(connection.execute("SELECT count(*) FROM finished").fetchone()[0])
            except sqlite3.OperationalError:
                return 0  # not made yet

    def export(self, store: str) -> str:
        assert self.finished(store) == UNITS
        return spikelink("export", "", *self.kept(store), "--format", "json").stdout

    @property
    def spec(self) -> str:
        return str(self.folder / "sweep.toml")

    @contextmanager
    def running(self, arguments: list[str], **values: str) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
        """``spikelink sweep ARGUMENTS --engine ray`` as a process, and where it writes."""
        said = self.folder / f"said-{len(list(self.folder.iterdir()))}"
        command = [sys.executable, "-m", "cli", "sweep", *arguments, "--engine", "ray"]
        with running_ray(command, said, environment(**values)) as process:
            yield process, said


def spikelink(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sweep", *arguments], env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def bench(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("ray")
    write_toy_test_set(folder, 12)
    (folder / "sweep.toml").write_text(SPEC)
    made = Bench(folder, toy_folder)
    done = spikelink(*made.arguments("whole", "run", made.spec, "--parallel", "1"))
    assert (done.exit_code, done.stderr) == (0, "")
    return made


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with running_head() as running:
        yield running


def middle(bench: Bench, store: str, process: "subprocess.Popen[str]", said: Path) -> None:
    until(lambda: bench.finished(store) >= 4 or process.poll() is not None, "the first units", 180)
    assert process.poll() is None, said.read_text()
    assert bench.finished(store) < UNITS


def test_a_worker_killed_then_cancelled_and_resumed(bench: Bench, head: Head) -> None:
    joined = ["--ray-address", head.address]
    with bench.running(bench.arguments("ray", "run", bench.spec, *joined), RAY_AUTH_TOKEN=TOKEN) as (process, said):
        middle(bench, "ray", process, said)
        killed, survivor = both_stopped(head.pid)  # nothing is finished, however long the next one takes to start
        os.kill(killed, signal.SIGKILL)
        until(lambda: "a Ray worker is lost, its unit is done again" in said.read_text(), "the news")
        assert spikelink("cancel", "", *bench.kept("ray")).exit_code == 0
        until(lambda: len(set(workers_of(head.pid)) - {killed}) == 2, "another worker", 240)
        os.kill(survivor, signal.SIGCONT)
        assert process.wait(240) == 1
        assert "somebody has cancelled it" in said.read_text()
    assert 0 < bench.finished("ray") < UNITS
    with bench.running(bench.arguments("ray", "resume", "", *joined), RAY_AUTH_TOKEN=TOKEN) as (process, said):
        assert process.wait(240) == 0, said.read_text()
    until(lambda: not workers_of(head.pid), "the end of the workers")
    assert bench.export("ray") == bench.export("whole")


def test_its_own_cluster_is_closed_to_others_and_may_go(bench: Bench) -> None:
    options = ("--parallel", "2", "--patience-s", "1")
    with bench.running(bench.arguments("gone", "run", bench.spec, *options)) as (process, said):
        middle(bench, "gone", process, said)
        workers = both_stopped(process.pid)
        everything = descendants(process.pid)
        assert {environment_of(pid)["RAY_AUTH_MODE"] for pid in workers} == {"token"}
        assert all(len(environment_of(pid)["RAY_AUTH_TOKEN"]) == 64 for pid in workers)
        assert listening(everything)
        assert listening(everything) <= LOOPBACK
        (store,) = [pid for pid, command in everything.items() if "gcs_server" in command]
        os.kill(store, signal.SIGKILL)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        assert process.wait(240) == 1
        assert "is gone; what is finished is kept, and the same command goes on" in said.read_text()
    assert bench.finished("gone") < UNITS
    assert spikelink(*bench.arguments("gone", "resume", "", "--parallel", "1")).exit_code == 0
    assert bench.export("gone") == bench.export("whole")
    until(lambda: {everything[pid] for pid in alive(everything)} <= AGENTS, "the end of Ray's processes")
    for pid in alive(everything):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_another_token_is_refused(bench: Bench, head: Head) -> None:
    arguments = bench.arguments("refused", "run", bench.spec, "--ray-address", head.address)
    with bench.running(arguments, RAY_AUTH_TOKEN=TOKEN[::-1]) as (process, said):
        assert process.wait(240) == 1
        assert "is this machine in the cluster, and has it the token?" in said.read_text()
    assert bench.finished("refused") == 0


@pytest.mark.parametrize(
    ("address", "mode", "says"),
    [
        (None, None, "it comes with the extra 'ray'"),
        (None, "disabled", "RAY_AUTH_MODE must be token"),
        ("127.0.0.1:9", "token", "no Ray cluster answers at 127.0.0.1:9: "),
        ("ray://127.0.0.1:10001", "token", "is HOST:PORT of its head, not"),
    ],
)
def test_without_a_cluster_it_takes_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, address: str | None, mode: str | None, says: str
) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    if mode is None:
        monkeypatch.setattr(on_ray, "find_spec", lambda name: None)
    before = dict(os.environ)
    monkeypatch.setattr(os, "environ", {**before, **({"RAY_AUTH_MODE": mode} if mode else {})})
    more = ["--ray-address", address] if address else []
    assert_one_line(spikelink(*bench.arguments("none", "run", bench.spec, "--engine", "ray", *more)), says)


def terms_of(weights: Path) -> Terms:
    return Terms("resnet18", weights, read_manifest("resnet18", weights).weights_sha256, "0.1.0")


@pytest.mark.parametrize(
    ("change", "mode", "says"),
    [
        (lambda terms: replace(terms, weights_sha256="0" * 64), "token", "has other weights of resnet18"),
        (lambda terms: replace(terms, weights=ROOT / "docs"), "token", "profile resnet18 has no weights in"),
        (lambda terms: replace(terms, version="0.0.1"), "token", "has SpikeLink 0.1.0 and not 0.0.1"),
        (lambda terms: terms, "disabled", "runs without token authentication"),
    ],
)
def test_a_machine_that_must_not_count(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Terms], Terms], mode: str, says: str
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    terms = terms_of(toy_folder)
    asyncio.run(RayWorker(terms).check())
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(EngineError, match=f"the Ray node .* {says}|the Ray node .*: {says}"):
        asyncio.run(RayWorker(change(terms)).check())


def test_a_goodbye_that_nobody_answers_does_not_hold_up_the_end() -> None:
    ends = "import atexit, threading\natexit.register(threading.Event().wait)  # as Ray's own handler would\n"
    ends += "from experiments.sweeps.on_ray import _leave\nprint('said')\n_leave(threading.Event().wait, 0.01)"
    command = [sys.executable, "-c", ends]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (1, "said\n"), done.stderr
