# SPDX-License-Identifier: Apache-2.0
"""``spikelink sweep`` as a user types it: run, killed and resumed, looked at, exported; its failures take one line."""

import asyncio
import csv
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from nodes import PATIENCE_S, until
from silent_server import silent_server
from test_cli_commands import assert_one_line
from toy import load_link
from toy_cifar import write_toy_test_set
from typer.testing import CliRunner, Result

from cli.app import main
from cli.sweeps_kept import opened
from experiments.data.cifar100 import LabelledImages
from experiments.data.split import noise_block
from models.link import Request
from models.systems import SYSTEMS
from models.weights import read_manifest

TESTS = Path(__file__).resolve().parent
SPEC = """
name = "rates"
bers = [0.0, 0.2]
seeds = [7, 8]
unit_images = 4
[images]
data_set = "cifar100-test"
first = 1
count = 10
[[series]]
system = "multi-rate"
t = [4]
"""
UNITS = 3 * (1 + 2)


@dataclass
class Bench:
    """A folder with images and a specification, and the options that name what is in it."""

    folder: Path
    weights: Path
    images: LabelledImages

    def options(self, store: str) -> list[str]:
        return [*self.kept(store), "--data", str(self.folder), "--weights", str(self.weights), "--parallel", "1"]

    def kept(self, store: str) -> list[str]:
        return ["--store", f"sqlite://{self.folder / store}.sqlite3"]

    def run(self, store: str) -> Result:
        return spikelink("run", self.folder / "sweep.toml", *self.options(store))

    def export(self, store: str, form: str = "json") -> str:
        (line,) = [line for line in spikelink("list", *self.kept(store)).stdout.splitlines() if "rates" in line]
        done = spikelink("export", line.split()[0], "--format", form, *self.kept(store))
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout


def spikelink(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["sweep", *map(str, arguments)], env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def bench(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("sweeps")
    images = write_toy_test_set(folder, 12)
    (folder / "sweep.toml").write_text(SPEC)
    made = Bench(folder, toy_folder, images)
    done = made.run("whole")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{UNITS} of {UNITS} units; 10 images, 2 seeds" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    return made


def test_exported_figures_are_those_of_the_link(bench: Bench) -> None:
    rows = sorted(range(12), key=bench.images.ids().__getitem__)[1:11]
    images = bench.images.select(np.array(rows))
    blocks = tuple(noise_block(name) for name in images.ids())
    link, document = load_link(bench.weights), json.loads(bench.export("whole"))
    for point, ber, seeds in zip(document["points"], (0.0, 0.2), ([7], [7, 8]), strict=True):
        right = [
            [trace.class_index for trace in link.run(images.images_NCHW, request)] == images.labels_N
            for request in (Request(SYSTEMS["multi-rate"], ber, seed, blocks, None, 4) for seed in seeds)
        ]
        assert (point["ber"], point["seeds"], point["images"]) == (ber, seeds, 10)
        assert point["accuracy_percent"] == pytest.approx(100 * np.mean(right))
        assert (point["bandwidth_bits"], point["bandwidth_low"], point["bandwidth_high"]) == (2048, 2048, 2048)
    assert document["weights_sha256"] == read_manifest("resnet18", bench.weights).weights_sha256
    (head, *_) = csv.DictReader(io.StringIO(bench.export("whole", "csv")))
    assert head["sweep"] == document["sweep"]


@pytest.mark.parametrize(
    "moments",
    [[("compute", 1), ("compute", 5)], [("inside", 3), ("before", 2), ("after", 2)]],
    ids=["compute", "write"],
)
def test_killed_and_resumed_equals_undisturbed(bench: Bench, moments: list[tuple[str, int]]) -> None:
    store = f"killed-{moments[0][0]}"
    for moment, number in moments:
        command = [sys.executable, str(TESTS / "killed_sweep.py"), moment, str(number), "sweep", "run"]
        command += [str(bench.folder / "sweep.toml"), *bench.options(store)]
        paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    (line,) = [line for line in spikelink("list", *bench.kept(store)).stdout.splitlines() if "rates" in line]
    assert "unfinished" in line
    resumed = spikelink("resume", line.split()[0], *bench.options(store))
    assert (resumed.exit_code, resumed.stderr) == (0, "")
    assert bench.export(store) == bench.export("whole")
    assert bench.export(store, "csv") == bench.export("whole", "csv")


def test_run_again_computes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.sweeps.link_engine._compute", None)
    before = bench.export("whole")
    assert bench.run("whole").exit_code == 0
    assert bench.export("whole") == before


def test_looking_and_cancelling(bench: Bench, tmp_path: Path) -> None:
    kept = bench.kept("whole")
    whole_id = json.loads(bench.export("whole"))["sweep"]
    shown = spikelink("status", whole_id[:6], *kept).stdout
    assert "complete" in shown
    assert shown.count("multi-rate") == 2
    file = tmp_path / "figures.csv"
    assert spikelink("export", whole_id.upper()[:8], "--output", file, *kept).stdout == ""
    assert file.read_text() == bench.export("whole", "csv")
    shutil.copy(bench.folder / "whole.sqlite3", bench.folder / "copy.sqlite3")
    done = spikelink("cancel", whole_id, *bench.kept("copy"))
    assert done.stdout == f"sweep {whole_id[:12]} is cancelled\n"


def test_another_set_of_images_is_another_sweep(bench: Bench, tmp_path: Path) -> None:
    """The data set was replaced under a sweep's feet: what it holds is not mixed with what was measured."""
    write_toy_test_set(tmp_path, 11)
    whole_id = json.loads(bench.export("whole"))["sweep"]
    done = spikelink("resume", whole_id, *bench.kept("whole"), "--data", tmp_path, "--weights", bench.weights)
    assert_one_line(done, f"sweep {whole_id[:12]} cannot go on: its images are no longer those")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "NOWHERE"), "cannot be read: No such file"),
        (("run", "SPEC", "--store", "sweeps.db"), "store URL: starts with none of sqlite://, redis://"),
        (("run", "SPEC", "--data", "EMPTY"), "no CIFAR-100 test set in"),
        (("run", "SPEC", "--weights", "EMPTY"), "profile resnet18 has no weights in"),
        (("run", "SPEC", "--via", "http", "--edge", "http://127.0.0.1:9", "--patience-s", "0"), "nothing answers"),
        (("list",), "there is no sweep in the store yet"),
        (("status", "abc"), "no sweep's id begins with 'abc'"),
        (("resume", "abc"), "no sweep's id begins with 'abc'"),
        (("cancel", "abc"), "no sweep's id begins with 'abc'"),
        (("export", "abc"), "no sweep's id begins with 'abc'"),
        (("export", "abc", "--store", "redis://127.0.0.1:9"), "redis: "),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_failures_take_one_line(bench: Bench, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    places = {"NOWHERE": tmp_path / "nowhere.toml", "SPEC": bench.folder / "sweep.toml", "EMPTY": tmp_path}
    given = [str(places.get(argument, argument)) for argument in arguments]
    defaults = {"--store": f"sqlite://{tmp_path / 'empty.sqlite3'}"}
    if arguments[0] == "run":
        defaults |= {"--data": str(bench.folder), "--weights": str(bench.weights)}
    for name, value in defaults.items():
        given += [] if name in given else [name, value]
    assert_one_line(spikelink(*given), says)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_how_long_an_answer_may_take_is_an_option(bench: Bench, command: str) -> None:
    """Nodes with a longer deadline than their own need a longer wait; a shorter one shows that it counts."""
    whole_id = json.loads(bench.export("whole"))["sweep"]
    what = {"run": str(bench.folder / "sweep.toml"), "resume": whole_id}[command]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        given = ("--via", "http", "--edge", url, "--patience-s", "0", "--timeout-s", "0.25")
        done = spikelink(command, what, *bench.options("whole"), *given)
    assert_one_line(done, f"edge at {url} did not answer within 0.25 s")


def test_ctrl_c_does_not_wait_for_answers(bench: Bench) -> None:
    # Whoever runs the tests in the background may ignore the signal, and so would all that they start.
    heard = "import signal; from cli.app import main; signal.signal(signal.SIGINT, signal.default_int_handler); main()"
    command = [sys.executable, "-c", heard, "sweep", "run", str(bench.folder / "sweep.toml"), *bench.options("ctrl-c")]
    with silent_server() as server:
        command += ["--via", "http", "--edge", server.url, "--timeout-s", "600"]
        environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                until(lambda: server.asked > 0, "its first request")
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
    assert (process.returncode, said) == (
        1,
        "spikelink: interrupted: what is finished is kept, and the same command goes on\n",
    )


def test_a_sweep_of_another_version_is_left_out_of_the_list(bench: Bench) -> None:
    """Neither what cannot be read, nor what reads well under another id, hides the others."""
    shutil.copy(bench.folder / "whole.sqlite3", bench.folder / "older.sqlite3")

    async def add() -> None:
        async with opened(bench.kept("older")[1]) as store:
            (known,) = await store.sweeps()
            await store.put_sweep("e" * 64, b"{}")
            await store.put_sweep("f" * 64, known.content)

    asyncio.run(add())
    done = spikelink("list", *bench.kept("older"))
    assert (done.exit_code, done.stdout.count("rates")) == (0, 1)
    left_out = "spikelink: left out: sweep {} is of another version of SpikeLink\n"
    assert done.stderr == "".join(left_out.format(12 * letter) for letter in "ef")
    assert_one_line(spikelink("status", "e", *bench.kept("older")), "sweep eeeeeeeeeeee is of another version")


def test_an_ambiguous_id_asks_for_more(bench: Bench) -> None:
    (bench.folder / "sweep.toml").write_text(SPEC.replace("rates", "again"))
    try:
        shutil.copy(bench.folder / "whole.sqlite3", bench.folder / "two.sqlite3")
        assert bench.run("two").exit_code == 0
    finally:
        (bench.folder / "sweep.toml").write_text(SPEC)
    assert_one_line(spikelink("status", "", *bench.kept("two")), "the ids of 2 sweeps begin with ''")
