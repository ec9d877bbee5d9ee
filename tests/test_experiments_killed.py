# SPDX-License-Identifier: Apache-2.0
"""A training process that is killed and resumed writes the weights of one that was not, byte for byte."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_cifar import held_out, write_toy_cifar
from typer.testing import CliRunner

from cli.app import main

pytestmark = pytest.mark.long

TESTS = Path(__file__).resolve().parent
RECIPE = ["--batch", "8", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps an epoch."""
    return write_toy_cifar(tmp_path_factory.mktemp("data"), train=26, validation=6)


@pytest.fixture(autouse=True)
def toy_split(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(data))


def where(folder: Path) -> list[str]:
    return ["--weights", str(folder / "weights"), "--runs", str(folder / "runs")]


def run_whole(stage: str, data: Path, folder: Path, *more: str) -> None:
    done = CliRunner().invoke(main, ["train", *stage.split(), *RECIPE, *where(folder), *more, "--data", str(data)])
    assert (done.exit_code, done.stderr) == (0, "")


def killed(stage: str, data: Path, folder: Path, moment: tuple[str, int], *more: str) -> None:
    command = [sys.executable, str(TESTS / "killed_training.py"), str(data), moment[0], str(moment[1])]
    paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *stage.split(), *RECIPE, *where(folder), *more],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def written(folder: Path) -> dict[str, bytes]:
    target = folder / "weights" / "resnet18"
    manifest = json.loads((target / "manifest.json").read_text())
    for entry in manifest["provenance"].values():
        entry.pop("command", None)
        entry.pop("duration_s", None)
    files = {path.name: path.read_bytes() for path in target.glob("*.safetensors")}
    return {**files, "manifest": json.dumps(manifest, sort_keys=True).encode()}


@pytest.mark.parametrize(
    ("stage", "minutes", "moments"),
    [
        ("codec --epochs 2", "0", [("step", 2), ("step", 3)]),
        ("codec --epochs 2", "0", [("checkpoint", 3), ("checkpoint", 2), ("export", 2)]),
        ("codec --epochs 2", "60", [("step", 5)]),
        ("codec --epochs 2 --cutmix 0.5 --distil 1", "0", [("step", 5)]),
        ("joint --epochs 2", "0", [("step", 5), ("export", 3)]),
        ("simnet --epochs 2", "0", [("step", 5)]),
        ("backbone --sizes 16:1,24:1", "0", [("step", 5)]),
    ],
    ids=[
        "inside an epoch",
        "while writing",
        "since the last epoch",
        "on fresh images",
        "over its own start",
        "SimNet",
        "after another image size",
    ],
)
def test_killed_and_resumed_equals_undisturbed(
    toy_folder: Path, data: Path, tmp_path: Path, stage: str, minutes: str, moments: list[tuple[str, int]]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        shutil.copytree(toy_folder, folder / "weights")
    run_whole(stage, data, whole)
    interval = ("--checkpoint-minutes", minutes)
    for index, moment in enumerate(moments):
        killed(stage, data, parts, moment, *interval, *(["--resume"] if index else []))
    run_whole(stage, data, parts, *interval, "--resume")
    expected, found = written(whole), written(parts)
    assert found.keys() == expected.keys()
    assert [name for name, content in found.items() if content != expected[name]] == []
