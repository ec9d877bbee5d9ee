# SPDX-License-Identifier: Apache-2.0
"""Joint fine-tuning: what it tunes and leaves, what it replaces in the weights, and that its start stays."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from torch import nn
from toy import load_networks, toy_images
from toy_cifar import held_out, write_toy_cifar
from typer.testing import CliRunner

from cli.app import main
from experiments.training.accuracy import Cells
from experiments.training.backbone import Backbone
from experiments.training.codec import CodecPlan
from experiments.training.codecs import Codec
from experiments.training.draws import Draws
from experiments.training.images import ImageSet, ImageSets
from experiments.training.joint import JointNetwork, JointPlan, JointStage
from models.profiles import PROFILES

FIVE = {"edge", "head", "encoder", "reconstructor", "converter"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_toy_cifar(tmp_path / "data", train=8, validation=4)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(folder))
    return folder


@pytest.fixture
def folder(toy_folder: Path, tmp_path: Path) -> Path:
    """The toy profile, with what a stage of training says of itself."""
    shutil.copytree(toy_folder / "resnet18", tmp_path / "weights" / "resnet18")
    manifest = manifest_of(tmp_path)
    manifest["provenance"] = {"backbone": {"metrics": {"score": 74.2}}, "codec": {}, "simnet": {}, "thresholds": {}}
    (tmp_path / "weights" / "resnet18" / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def manifest_of(folder: Path, below: str = "weights") -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / below / "resnet18" / "manifest.json").read_text())
    return manifest


def train(stage: str, data: Path, folder: Path, *more: str) -> Result:
    where = ["--data", str(data), "--weights", str(folder / "weights"), "--runs", str(folder / "runs")]
    return CliRunner().invoke(main, ["train", stage, "--epochs", "1", "--batch", "4", *where, *more])


def scores(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """Validation's figures, one after the other."""
    left: Iterator[float] = iter(values)
    monkeypatch.setattr(JointStage, "validate", lambda stage: {"score": next(left), "backbone": 70.0})


def test_what_later_stages_built_goes_and_the_first_backbone_stays(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = manifest_of(folder)
    scores(monkeypatch, 60.0, 61.0)
    done = train("joint", data, folder)
    assert (done.exit_code, done.stderr) == (0, "")
    after = manifest_of(folder)
    assert set(after["parts"]) == FIVE
    assert after["thresholds"] == {}
    assert set(after["provenance"]) == {"backbone", "codec", "joint"}
    assert all(after["parts"][name] != before["parts"][name] for name in FIVE)
    entry = after["provenance"]["joint"]
    assert entry["start"] == {name: before["parts"][name]["sha256"] for name in FIVE}
    assert (entry["before"]["score"], entry["metrics"]["score"]) == (60.0, 61.0)
    # The accuracy that the link's loss is measured against, and the very networks that had it.
    assert after["provenance"]["backbone"] == {"metrics": {"score": 74.2}}
    assert manifest_of(folder, "runs/resnet18/joint/start") == before
    load_networks(folder / "runs/resnet18/joint/start")

    again = train("joint", data, folder)
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    assert "tuned jointly already" in again.stderr
    other = train("joint", data, folder, "--resume", "--seed", "1")
    assert (other.exit_code, other.stderr.count("\n")) == (1, 1)
    assert "began with seed 0, not 1" in other.stderr


def test_a_tuning_that_makes_it_worse_changes_nothing(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = manifest_of(folder)
    scores(monkeypatch, 60.0, 59.0)
    assert "best epoch 0: score 60.000" in train("joint", data, folder).stdout
    after = manifest_of(folder)
    assert (after["parts"], after["thresholds"]) == (before["parts"], before["thresholds"])
    assert after["provenance"].pop("joint")["best_epoch"] == -1
    assert after["provenance"] == before["provenance"]
    scores(monkeypatch, 60.0, 61.0)
    assert "best epoch 1" in train("joint", data, folder, "--learning-rate", "1e-4").stdout


def test_weights_that_changed_meanwhile_are_not_resumed(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, 60.0, 61.0)
    assert train("joint", data, folder).exit_code == 0
    manifest = manifest_of(folder)
    manifest["parts"]["edge"]["sha256"] = "0" * 64
    del manifest["provenance"]["joint"]
    (folder / "weights" / "resnet18" / "manifest.json").write_text(json.dumps(manifest))
    done = train("joint", data, folder, "--resume")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "has changed since this joint run began" in done.stderr


@pytest.mark.parametrize("stage", ["cnn-1bit", "noise-free-codec"])
def test_a_baseline_leaves_everything_else(data: Path, folder: Path, stage: str) -> None:
    before = manifest_of(folder)
    done = train(stage, data, folder)
    assert (done.exit_code, done.stderr) == (0, "")
    after = manifest_of(folder)
    assert after["thresholds"] == before["thresholds"]
    new = {name for name, entry in after["parts"].items() if entry != before["parts"].get(name)}
    prefix, parts = {
        "cnn-1bit": ("cnn-1bit-", {"encoder", "decoder"}),
        "noise-free-codec": ("noise-free-", {"encoder", "reconstructor", "converter"}),
    }[stage]
    assert new == {f"{prefix}{name}" for name in parts}
    assert after["parts"].keys() == {*before["parts"], *new}
    assert set(after["provenance"]) == {*before["provenance"], stage}
    assert after["provenance"][stage]["start"] == {name: before["parts"][name]["sha256"] for name in ("edge", "head")}


def test_all_parts_learn_and_batch_norm_keeps_its_statistics(toy_folder: Path) -> None:
    edge, cloud = load_networks(toy_folder)
    profile = PROFILES["resnet18"]
    backbone, codec = Backbone(profile.backbone), Codec(profile.backbone.feature_channels, profile.max_steps)
    backbone.edge, backbone.head = edge.edge, cloud.head
    codec.encoder, codec.reconstructor, codec.converter = edge.encoder, cloud.reconstructor, cloud.converter
    network = JointNetwork(backbone, codec).requires_grad_(True)
    images = ImageSet(torch.from_numpy(toy_images(4)), torch.arange(4))
    plan = JointPlan(CodecPlan(Draws(4, 8), Cells((4, 8))))
    stage = JointStage(network, ImageSets(images, images), plan, batch=4)
    statistics = {name: value.clone() for name, value in network.named_buffers()}
    network.train()
    stage.loss(torch.arange(4), torch.Generator().manual_seed(0)).backward()
    for name, part in network.parts().items():
        gradients = [parameter.grad for parameter in part.parameters()]
        assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients), name
        assert any(bool(gradient.any()) for gradient in gradients if gradient is not None), name
    assert all(torch.equal(value, statistics[name]) for name, value in network.named_buffers())
    assert not any(m.training for m in network.modules() if isinstance(m, nn.BatchNorm2d))
