# SPDX-License-Identifier: Apache-2.0
"""Backbone and codec that start from a profile's: the first weights are that profile's, and the manifest says so."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_cifar import held_out, write_toy_cifar
from typer.testing import CliRunner

from cli.app import main


@pytest.mark.parametrize("started", [True, False])
def test_a_codec_starts_from_a_profiles_folder(
    started: bool, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_toy_cifar(tmp_path / "data", train=10, validation=4)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(data))
    weights, old = tmp_path / "weights", toy_folder / "resnet18"
    shutil.copytree(toy_folder, weights)
    recipe = ["--epochs", "1", "--batch", "8", "--learning-rate", "1e-9", "--device", "cpu", "--data", data]
    start = ["--start", old] if started else []
    arguments = ["train", "codec", *recipe, *start, "--weights", weights, "--runs", tmp_path / "runs"]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert (done.exit_code, done.stderr) == (0, "")
    for name in ("encoder", "reconstructor", "converter"):
        before, after = (load_file(folder / f"{name}.safetensors") for folder in (old, weights / "resnet18"))
        key = next(key for key, value in before.items() if value.ndim > 1)
        assert torch.allclose(before[key].float(), after[key].float(), atol=1e-3) is started
    manifest = json.loads((weights / "resnet18" / "manifest.json").read_text())
    known = json.loads((old / "manifest.json").read_text())["parts"]
    named = manifest["provenance"]["codec"]["start"]
    expected = {f"start {name}": known[name]["sha256"] for name in ("encoder", "reconstructor", "converter")}
    assert {name: sha for name, sha in named.items() if name.startswith("start")} == (expected if started else {})


def test_a_backbone_starts_from_a_profiles_folder(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_toy_cifar(tmp_path / "data", train=10, validation=4)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(data))
    old = toy_folder / "resnet18"
    recipe = ["--sizes", "32:1", "--batch", "8", "--learning-rate", "1e-9", "--device", "cpu", "--data", data]
    arguments = ["train", "backbone", *recipe, "--start", old, "--weights", tmp_path / "w", "--runs", tmp_path / "runs"]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert (done.exit_code, done.stderr) == (0, "")
    for name in ("edge", "head"):
        before, after = (load_file(folder / f"{name}.safetensors") for folder in (old, tmp_path / "w" / "resnet18"))
        assert all(torch.allclose(before[k].float(), after[k].float(), atol=1e-3) for k in before if before[k].ndim > 1)
    manifest = json.loads((tmp_path / "w" / "resnet18" / "manifest.json").read_text())
    known = json.loads((old / "manifest.json").read_text())["parts"]
    assert manifest["provenance"]["backbone"]["start"] == {name: known[name]["sha256"] for name in ("edge", "head")}


def test_a_start_of_another_network_is_refused(toy_folder: Path, tmp_path: Path) -> None:
    start = ["--start", toy_folder / "resnet18", "--profile", "resnet50", "--sizes", "32:1"]
    data = write_toy_cifar(tmp_path / "data", train=10, validation=4)
    arguments = ["train", "backbone", *start, "--data", data, "--weights", tmp_path / "w", "--runs", tmp_path / "runs"]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 1
    assert "does not fit the network edge: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
