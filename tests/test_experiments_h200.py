# SPDX-License-Identifier: Apache-2.0
"""The chain that trains resnet50 on a GPU machine: its very commands, on the CPU with a few images."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_cifar import write_toy_cifar

from experiments.data.cifar100 import RECORD_BYTES
from experiments.h200.shards import pack, unpack
from models.profiles import PROFILES
from models.weights import load_cloud, load_edge, read_manifest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20


def records(count: int) -> bytes:
    return np.random.default_rng(count).integers(0, 256, count * RECORD_BYTES, dtype=np.uint8).tobytes()


def test_shards_bring_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.h200.shards._SHEET_IMAGES", 150)
    (tmp_path / "train.bin").write_bytes(records(401))
    (tmp_path / "test.bin").write_bytes(records(150))
    pack(tmp_path, tmp_path / "parts", 2)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["part-1", "part-2"]
    unpack(tmp_path / "parts", tmp_path / "again")
    for name in ("train.bin", "test.bin"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
    shutil.rmtree(tmp_path / "parts" / "part-2")
    with pytest.raises(ValueError, match=r"2 of 3 sheets of train in .*: carry the other parts"):
        unpack(tmp_path / "parts", tmp_path / "again")
    with pytest.raises(ValueError, match="no sheets"):
        unpack(tmp_path / "absent", tmp_path / "again")


class Rehearsal:
    """The chain's commands in a folder, with four toy images of each split."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data = write_toy_cifar(folder / "data", train=8, validation=4)
        shutil.copy(data / "train.bin", data / "test.bin")
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/toy_python.py" "{data}" "$@"\n')
        python.chmod(0o755)
        pack(data, folder / "state" / "shards", 2)
        self._environment = {
            **os.environ,
            "PYTHON": str(python),
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
            "STATE": str(folder / "state"),
            "IMAGES": "4",
            "DEVICE": "cpu",
            "WORKERS": "1",
        }

    def run(self, *arguments: str, **more: str) -> None:
        command = ["bash", str(ROOT / "experiments/h200/chain.sh"), *arguments]
        given = {**self._environment, **more}
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_whole_chain_in_rehearsal(tmp_path: Path) -> None:
    chain, out, home = Rehearsal(tmp_path), tmp_path / "out", tmp_path / "home"
    for command in ("backbone", "link", "rest"):
        chain.run(command)
    chain.run("collect", "backbone", str(out))
    chain.run("collect", "link", str(out))
    assert len(list(out.iterdir())) <= 8
    assert max(path.stat().st_size for path in out.iterdir()) <= 16 * MIB
    chain.run("join", str(out), WEIGHTS=str(home))

    manifest, profile = read_manifest("resnet50", home), PROFILES["resnet50"]
    load_edge(profile, manifest, home)
    load_cloud(profile, manifest, home)
    stages = ["backbone", "cnn-1bit", "codec", "joint", "noise-free-codec", "simnet"]
    assert sorted(manifest.provenance) == stages
    for entry in manifest.provenance.values():
        assert "only the first 4 images of each, by id" in json.dumps(entry)

    # The codec again, on the weights that are there.
    for arguments in (("codecs",), ("simnet", "distilled"), ("measure", "distilled")):
        chain.run(*arguments, VARIANTS="distilled")
    chain.run("collect", "again", "distilled", str(tmp_path / "again"))
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"again.tar.aa", "again.tar.ab", "measured.tar.aa"}
    again = read_manifest("resnet50", tmp_path / "state" / "distilled" / "weights")
    assert again.parts["edge"] == manifest.parts["edge"]
    assert again.parts["encoder"] != manifest.parts["encoder"]
    assert '"distilled": 1.0' in json.dumps(again.provenance["codec"])
    chain.run("join", "again", str(tmp_path / "again"), WEIGHTS=str(home))
    assert read_manifest("resnet50", home).parts == {**manifest.parts, **again.parts}
