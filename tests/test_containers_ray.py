# SPDX-License-Identifier: Apache-2.0
"""A sweep on a Ray cluster of three containers, started as docs/sweeps.md says: each has addresses, files, processes.

One is killed, and the head vanishes without a word.
"""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from containers import ROOT, build, build_images, engine_problem, require, run, until
from toy_cifar import write_toy_test_set

pytestmark = [pytest.mark.containers, pytest.mark.long]

IMAGE: Final = "spikelink-ray-node"
NAMES: Final = ("head", "one", "other")
#: What docs/sweeps.md has users type, with smaller room for Ray's objects than its own choice.
SMALL: Final = "--object-store-memory 100000000 --disable-usage-stats"
TOKEN: Final = "(umask 077; ray get-auth-token --generate)"
HEAD: Final = f"ray start --head --port 6379 --include-dashboard false {SMALL}"
WORKER: Final = f"ray start --address HEAD:6379 {SMALL}"
#: Noticing takes 15 s, goodbye at most 8 s; the rest is for a busy machine. Ray alone takes minutes.
ENDS_S: Final = 60

SPEC: Final = """
name = "machines"
bers = [0.05, 0.1, 0.2]
seeds = [7]
unit_images = 1
[images]
data_set = "cifar100-test"
count = 40
[[series]]
system = "multi-rate"
t = [4]
"""


@dataclass
class Machines:
    """The containers on their network, all with the images, so that each can give the command."""

    files: Path
    prefix: str = field(default_factory=lambda: f"spikelink-test-{os.getpid()}")
    alive: list[str] = field(default_factory=lambda: list(NAMES))

    def name(self, machine: str) -> str:
        return f"{self.prefix}-{machine}"

    def start(self) -> None:
        run("docker", "network", "create", self.prefix)
        limits = ["--init", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--cpus=1", "--shm-size=256m"]
        for machine in NAMES:
            where = ["--network", self.prefix, "--name", self.name(machine), "--hostname", machine]
            run("docker", "run", "--detach", *limits, *where, IMAGE)
            for file in (*self.files.iterdir(), ROOT / "tests" / "noting_sweep.py"):
                run("docker", "cp", str(file), f"{self.name(machine)}:/tmp/")
        self.execute("head", TOKEN)
        token = self.execute("head", "cat ~/.ray/auth_token")
        self.execute("head", HEAD)
        for machine in NAMES[1:]:
            self.execute(machine, f"(umask 077; mkdir ~/.ray; printf %s {token} > ~/.ray/auth_token)")
            self.execute(machine, WORKER.replace("HEAD", self.name("head")))

    def remove(self) -> None:
        names = [self.name(machine) for machine in NAMES]
        subprocess.run(["docker", "rm", "--force", "--volumes", *names], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", self.prefix], capture_output=True, check=False)

    def command(self, machine: str, line: str) -> list[str]:
        return ["docker", "exec", "--env=RAY_AUTH_MODE=token", self.name(machine), "sh", "-c", f"cd /tmp && {line}"]

    def execute(self, machine: str, line: str) -> str:
        return run(*self.command(machine, line))

    def units(self, machine: str) -> list[str]:
        """The address of who has done it, for each unit that a machine has done."""
        return self.execute(machine, "cat /tmp/units 2>/dev/null || true").split()

    def sweep(self, machine: str, store: str, how: str) -> list[str]:
        line = f"python noting_sweep.py sweep {how} --store sqlite:////tmp/{store}.sqlite3 --data /tmp"
        return self.command(machine, line)

    @contextmanager
    def sweeping(self, machine: str, store: str) -> Iterator["subprocess.Popen[str]"]:
        """``spikelink sweep run`` on Ray, when each machine has done some units and holds the next."""
        for each in self.alive:
            self.execute(each, "rm -f units go")
        command = self.sweep(machine, store, f"run sweep.toml --engine ray --ray-address {self.name('head')}:6379")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                until("each has done some", lambda: process.poll() is not None or self._each_has_done(2), 120)
                assert process.poll() is None, process.communicate()
                yield process
            finally:
                process.kill()

    def kill(self, machine: str) -> None:
        run("docker", "kill", self.name(machine))
        self._without(machine)

    def vanish(self, machine: str) -> None:
        """It runs on, and none of its packets arrive."""
        run("docker", "network", "disconnect", self.prefix, self.name(machine))
        self._without(machine)

    def _without(self, machine: str) -> None:
        self.alive.remove(machine)
        for each in self.alive:
            self.execute(each, "touch go")

    def _each_has_done(self, units: int) -> bool:
        return all(len(self.units(machine)) >= units for machine in self.alive)

    def export(self, machine: str, store: str) -> list[str]:
        exports = [
            f"spikelink sweep export '' --store sqlite:////tmp/{store}.sqlite3 --format {form}"
            for form in ("csv", "json")
        ]
        return [self.execute(machine, line) for line in exports]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    require(engine_problem())
    build_images()
    build(IMAGE, "docker/ray-node.Dockerfile")
    folder = tmp_path_factory.mktemp("machines")
    write_toy_test_set(folder, 40)
    (folder / "sweep.toml").write_text(SPEC)
    for file in folder.iterdir():
        file.chmod(0o644)
    found = Machines(folder)
    try:
        found.start()
        yield found
    finally:
        found.remove()


@pytest.fixture(scope="module")
def expected(machines: Machines) -> list[str]:
    """What the in-process link exports, on the head."""
    run(*machines.sweep("head", "link", "run sweep.toml --engine link --parallel 1"))
    return machines.export("head", "link")


def test_a_machine_is_killed_in_the_middle(machines: Machines, expected: list[str]) -> None:
    with machines.sweeping("head", "killed") as process:
        before = machines.units("other")
        machines.kill("other")
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "a Ray worker is lost, its unit is done again" in said
    counts = Counter([*machines.units("head"), *machines.units("one"), *before])
    print(f"units by address: {dict(counts)}")  # noqa: T201
    assert len(counts) == len(NAMES)
    assert machines.export("head", "killed") == expected


def test_the_head_vanishes_without_a_word(machines: Machines, expected: list[str]) -> None:
    with machines.sweeping("one", "vanished") as process:
        machines.vanish("head")
        said, _ = process.communicate(timeout=ENDS_S)
    assert process.returncode == 1
    assert "is gone; what is finished is kept, and the same command goes on" in said
    run(*machines.sweep("one", "vanished", "resume '' --engine link --parallel 1"))
    assert machines.export("one", "vanished") == expected
