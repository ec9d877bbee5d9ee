# SPDX-License-Identifier: Apache-2.0
"""A profile on another one's backbone: trained on it, stored without it, loaded with it; and --keep-norm."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from toy_cifar import held_out, write_toy_cifar
from typer.testing import CliRunner

from cli.app import main
from experiments.training.codecs import Codec
from models.profiles import PROFILES
from models.weights import WeightsError, available_profiles, load_cloud, load_edge, read_manifest

BASE, NAME = "resnet18", "resnet18-t1"


@pytest.fixture
def folder(toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = write_toy_cifar(tmp_path / "data", train=8, validation=4)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(data))
    shutil.copytree(toy_folder / BASE, tmp_path / "weights" / BASE)
    return tmp_path


def train(folder: Path, stage: str, *more: str) -> Result:
    where = ["--data", str(folder / "data"), "--weights", str(folder / "weights"), "--runs", str(folder / "runs")]
    return CliRunner().invoke(main, ["train", stage, "--profile", NAME, "--epochs", "1", "--batch", "4", *where, *more])


def manifest_of(folder: Path, profile: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "weights" / profile / "manifest.json").read_text())
    return manifest


def test_a_codec_is_trained_on_the_bases_backbone_whose_files_stay_where_they_are(folder: Path) -> None:
    base = manifest_of(folder, BASE)
    start = folder / "weights" / BASE
    for stage, more in (("codec", ["--start", str(start), "--keep-norm"]), ("simnet", [])):
        done = train(folder, stage, *more)
        assert done.exit_code == 0, done.output
    manifest = manifest_of(folder, NAME)
    written = {path.stem for path in (folder / "weights" / NAME).glob("*.safetensors")}
    assert written == {"encoder", "reconstructor", "converter", "prior", "similarity"}
    assert manifest["parts"].keys() == {"edge", "head", *written}
    for part in ("edge", "head"):
        assert manifest["parts"][part] == base["parts"][part]
    assert manifest["provenance"]["codec"]["settings"] == {
        "draws": {"min_steps": 1, "max_steps": 8, "max_ber": 0.3, "high_share": 0.0},
        "keep_norm": True,
    }
    profile, found = PROFILES[NAME], read_manifest(NAME, folder / "weights")
    shared = load_edge(profile, found, folder / "weights")["edge"].state_dict()
    own = load_edge(PROFILES[BASE], read_manifest(BASE, folder / "weights"), folder / "weights")["edge"].state_dict()
    assert all(torch.equal(shared[name], own[name]) for name in own)


def test_another_backbone_in_the_base_is_not_taken_for_the_one_that_was_trained_on(folder: Path) -> None:
    assert train(folder, "codec").exit_code == 0
    assert train(folder, "simnet").exit_code == 0
    manifest = read_manifest(NAME, folder / "weights")
    shutil.copy(folder / "weights" / BASE / "prior.safetensors", folder / "weights" / BASE / "head.safetensors")
    with pytest.raises(WeightsError, match="sha256 differs"):
        load_cloud(PROFILES[NAME], manifest, folder / "weights")


def test_without_its_base_it_cannot_be_trained(folder: Path) -> None:
    shutil.rmtree(folder / "weights" / BASE)
    done = train(folder, "codec")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert f"profile {BASE} has no weights" in done.stderr
    assert available_profiles(folder / "weights")[NAME] is None


@pytest.mark.parametrize("keeps", [True, False])
def test_batch_norm_keeps_its_statistics_where_it_is_told_to(keeps: bool) -> None:
    codec = Codec(8, 8, keep_norm=keeps).train()
    before = {name: value.clone() for name, value in codec.state_dict().items() if "running" in name}
    assert before
    source = torch.Generator().manual_seed(0)
    sent = codec.transmit(torch.rand(4, 8, 4, 4, generator=source) * 4, 2, torch.zeros(4), source)
    codec.converter(sent.maps_BKCHW).sum().backward()
    after = codec.state_dict()
    assert all(torch.equal(after[name], value) is keeps for name, value in before.items())
    scales = [value for name, value in codec.named_parameters() if name.endswith(".1.weight")]
    assert scales
    assert all(scale.grad is not None for scale in scales)  # tuned all the same
