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


def test_the_whole_chain_in_rehearsal(tmp_path: Path) -> None:
    data = write_toy_cifar(tmp_path / "data", train=8, validation=4)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/toy_python.py" "{data}" "$@"\n')
    python.chmod(0o755)
    pack(data, tmp_path / "state" / "shards", 2)
    environment = {
        **os.environ,
        "PYTHON": str(python),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "STATE": str(tmp_path / "state"),
        "IMAGES": "4",
    }

    def chain(*arguments: str, **more: str) -> None:
        command = ["bash", str(ROOT / "experiments/h200/chain.sh"), *arguments]
        done = subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    out = tmp_path / "out"
    chain("backbone")
    chain("link")
    chain("collect", "backbone", str(out))
    chain("rest")
    chain("collect", "link", str(out))
    assert len(list(out.iterdir())) <= 8
    assert max(path.stat().st_size for path in out.iterdir()) <= 16 * MIB
    chain("join", str(out), WEIGHTS=str(tmp_path / "home"))

    manifest, profile = read_manifest("resnet50", tmp_path / "home"), PROFILES["resnet50"]
    load_edge(profile, manifest, tmp_path / "home")
    load_cloud(profile, manifest, tmp_path / "home")
    stages = ["backbone", "cnn-1bit", "codec", "joint", "noise-free-codec", "simnet"]
    assert sorted(manifest.provenance) == stages
    for entry in manifest.provenance.values():
        assert "only the first 4 images of each, by id" in json.dumps(entry)
