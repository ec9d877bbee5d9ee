# SPDX-License-Identifier: Apache-2.0
"""``spikelink reproduce`` and ``evaluate`` as a user meets them when something is missing."""

import importlib.util
import json
import os
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from toy import toy_images

from cli.app import main
from cli.evaluate import parse_bers, write_figures
from cli.failures import CommandError


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that fails."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert left.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_without_matplotlib_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "matplotlib" else there(name, package)

    monkeypatch.setattr("cli.extras.find_spec", without)
    line = failure(capsys, "reproduce", "--figures-only")
    assert line == "spikelink: matplotlib missing: pip install '.[reproduce]'"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--figures-only", "--docs", "EMPTY"), "run spikelink reproduce first"),
        (("--data", "EMPTY"), "get it by 'spikelink data fetch'"),
        (("--bers", "0.1,0.2"), "--bers needs 0"),
        (("--bers", "0,0.6"), "a BER lies in 0..0.5"),
        (("--bers", "0,0.05"), "the figures need one of the BERs 0.1, 0.2, 0.3"),
        (("--profile", "resnet51"), "there is no profile 'resnet51'"),
    ],
)
def test_what_is_missing_takes_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    arguments = [tmp_path if option == "EMPTY" else option for option in options]
    if "--docs" not in options:
        arguments += ["--docs", tmp_path, "--runs", tmp_path]
    assert reason in failure(capsys, "reproduce", *arguments)


@pytest.mark.parametrize("less", [("--images", 10), ("--bers", "0,0.1"), ("--seeds", 1), ("--no-ldpc",)])
def test_a_try_leaves_the_projects_own_results(capsys: pytest.CaptureFixture[str], less: tuple[object, ...]) -> None:
    assert f"{less[0]} is a try: --docs says where its results go" in failure(capsys, "reproduce", *less)


@pytest.mark.parametrize(
    ("mode", "stranger"),
    [
        ("--sample-only", ("--images", 50)),
        ("--sample-only", ("--baseline-weights", "FOLDER")),
        ("--figures-only", ("--bers", "0,0.1")),
        ("--figures-only", ("--ldpc-bers", "0.1")),
    ],
)
def test_what_a_mode_would_ignore_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, mode: str, stranger: tuple[object, ...]
) -> None:
    line = failure(capsys, "reproduce", mode, *stranger, "--docs", tmp_path)
    assert line.startswith(f"spikelink: {mode} ")
    assert line.endswith(f"it goes without {stranger[0]}")


def dies(*_: object) -> None:
    os._exit(9)


def test_a_worker_that_dies_takes_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, toy_folder: Path, tmp_path: Path
) -> None:
    """As where the kernel kills it for its memory."""
    monkeypatch.setattr("experiments.evaluation.measure._start_worker", dies)
    images = toy_images(300, seed=1).reshape(300, -1)
    np.concatenate((np.zeros((300, 2), dtype=np.uint8), images), axis=1).tofile(tmp_path / "test.bin")
    where = ("--data", tmp_path, "--runs", tmp_path / "runs", "--weights", toy_folder, "--workers", 2)
    assert "a worker has died" in failure(capfd, "evaluate", *where)


def test_runs_that_cannot_be_written_take_one_line(
    capfd: pytest.CaptureFixture[str], toy_folder: Path, tmp_path: Path
) -> None:
    images = toy_images(4, seed=1).reshape(4, -1)
    np.concatenate((np.zeros((4, 2), dtype=np.uint8), images), axis=1).tofile(tmp_path / "test.bin")
    (tmp_path / "file").touch()
    where = ("--data", tmp_path, "--runs", tmp_path / "file", "--weights", toy_folder, "--workers", 1)
    line = failure(capfd, "evaluate", "--bers", "0", *where)
    assert line == f"spikelink: Not a directory: {tmp_path / 'file' / 'units' / 'snn-sc'}"


def test_thresholds_are_chosen_on_validation_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = failure(capsys, "evaluate", "--calibrate", "--split", "test", "--data", tmp_path, "--runs", tmp_path)
    assert "thresholds are chosen on the whole validation split" in line


def test_a_worker_that_cannot_load_says_why_in_one_line(
    capfd: pytest.CaptureFixture[str], toy_folder: Path, tmp_path: Path
) -> None:
    """More than a unit of images, so that two processes are started; the weights are not those of the manifest."""
    images = toy_images(300, seed=1).reshape(300, -1)
    np.concatenate((np.zeros((300, 2), dtype=np.uint8), images), axis=1).tofile(tmp_path / "test.bin")
    weights = shutil.copytree(toy_folder, tmp_path / "weights")
    damaged = weights / "resnet18" / "head.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    arguments = ("--data", tmp_path, "--runs", tmp_path / "runs", "--weights", weights, "--workers", 2)
    assert "head.safetensors" in failure(capfd, "evaluate", *arguments)


@pytest.mark.parametrize("option", [(), ("--sample-only",)])
def test_weights_without_thresholds_are_told_how_to_get_them(
    capsys: pytest.CaptureFixture[str], toy_folder: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    """As they are after each training."""
    shutil.copytree(toy_folder, tmp_path / "weights")
    path = tmp_path / "weights" / "resnet18" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "thresholds": {}}))
    places = ("--docs", tmp_path, "--runs", tmp_path, "--weights", tmp_path / "weights", "--data", tmp_path)
    line = failure(capsys, "reproduce", *places, *option)
    assert line.startswith("spikelink: no default threshold of snn-sc-harq")
    assert line.endswith("spikelink evaluate --split validation --calibrate")


def test_a_file_that_cannot_be_written_takes_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="cannot be written: File exists"):
        write_figures(tmp_path / "file" / "figures.json", {})


def test_bers_are_measured_once_and_in_order() -> None:
    """Tables and figures take the measured order for the order of their columns."""
    assert parse_bers("0.3,0,0.1,0.30") == (0.0, 0.1, 0.3)
