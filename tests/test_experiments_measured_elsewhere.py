# SPDX-License-Identifier: Apache-2.0
"""``spikelink reproduce --measure-only`` on one machine, ``--measured`` on another that computes no pass itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from toy_cifar import held_out, write_toy_cifar

from cli.app import main
from experiments.evaluation import measure
from experiments.evaluation.elsewhere import MEASURED_ON
from models.weights import MANIFEST, read_manifest


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_toy_cifar(tmp_path / "data", train=2, validation=6)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(folder))
    (folder / "test.bin").write_bytes((folder / "train.bin").read_bytes())
    return folder


def reproduce(data: Path, weights: Path, runs: Path, *more: str) -> int:
    fixed = ["--bers", "0,0.2", "--seeds", "2", "--no-ldpc", "--workers", "1", "--images", "4"]
    where = ["--data", str(data), "--weights", str(weights), "--runs", str(runs), "--docs", str(data.parent / "docs")]
    with pytest.raises(SystemExit) as left:
        main(["reproduce", *fixed, *where, *more])
    return int(left.value.code or 0)


def provenance(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data.parent / "docs/results/resnet18/provenance.json").read_text())
    return found


def without_baselines(weights: Path, folder: Path) -> Path:
    shutil.copytree(weights, folder)
    path = folder / "resnet18" / MANIFEST
    manifest = json.loads(path.read_text())
    kept = {part: entry for part, entry in manifest["parts"].items() if not part.startswith(("cnn-1bit", "noise-free"))}
    path.write_text(json.dumps({**manifest, "parts": kept}))
    return folder


def test_units_of_another_machine_are_drawn_and_none_is_computed(
    data: Path, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    monkeypatch.setattr("torch.__version__", "2.11.0+cu130")
    assert reproduce(data, toy_folder, there, "--measure-only") == 0
    assert not (data.parent / "docs").exists(), "figures belong to the other machine"
    record = json.loads((there / "resnet18" / MEASURED_ON).read_text())
    assert record["versions"]["torch"] == "2.11.0+cu130"
    monkeypatch.undo()
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(data))

    computed: list[str] = []
    compute = measure._Job.compute

    def noted(job: Any, *rest: Any) -> None:
        computed.append(job.pass_name)
        compute(job, *rest)

    monkeypatch.setattr(measure._Job, "compute", noted)
    shipped = without_baselines(toy_folder, tmp_path / "shipped")
    assert reproduce(data, shipped, here, "--measured", str(there), "--baseline-weights", str(toy_folder)) == 0
    assert len(computed) == 2, "the small sample's two sets alone are this machine's"
    found = provenance(data)
    assert {name: found[name] for name in record} == record
    assert found["weights_sha256"] == read_manifest("resnet18", shipped).weights_sha256
    assert set(found["not_shipped"]) == {"cnn-1bit-encoder", "cnn-1bit-decoder"}, "what was measured alone"
    assert [(some["name"], some["split"]) for some in found["passes"]] == [
        ("snn-sc", "validation"), ("snn-sc", "test"), ("cnn-1bit", "test"),
    ]  # fmt: skip


def test_baselines_of_other_weights_are_refused(
    data: Path, toy_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Their figures would stand beside those of a codec that they were not measured with."""
    other = shutil.copytree(toy_folder, tmp_path / "other")
    path = other / "resnet18" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["parts"]["encoder"]["sha256"] = 64 * "0"
    path.write_text(json.dumps(manifest))
    assert reproduce(data, toy_folder, tmp_path / "runs", "--baseline-weights", str(other)) == 1
    assert capfd.readouterr().err == f"spikelink: {other} has other weights of encoder\n"


def test_what_is_missing_is_not_computed_in_its_place(
    data: Path, toy_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even where this machine could: device and version of PyTorch are the same."""
    there, weights = tmp_path / "there", shutil.copytree(toy_folder, tmp_path / "weights")
    assert reproduce(data, weights, there, "--measure-only") == 0
    units = sorted((there / "units").rglob("*.npz"))

    def refused(*arguments: str) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        assert left.value.code == 1
        assert sorted((there / "units").rglob("*.npz")) == units
        return capfd.readouterr().err

    where = ["--data", str(data), "--weights", str(weights), "--bers", "0,0.2"]
    shown = [*where, "--docs", str(tmp_path / "docs"), "--measured"]
    assert "measure them there first" in refused("reproduce", "--images", "4", "--seeds", "3", *shown, str(there))
    assert "was not measured to its end" in refused("reproduce", "--images", "4", *shown, str(tmp_path))
    assert "one of" in refused("reproduce", "--measure-only", *shown, str(there))
    # Four images of the six that thresholds are chosen on.
    chosen = ["evaluate", "--split", "validation", "--calibrate", *where, "--measured", str(there)]
    assert "measure them there first" in refused(*chosen)
    assert "measure them there first" in refused(*chosen, "--learn")
    units[0].unlink()
    units.pop(0)
    assert "1 units of pass" in refused("reproduce", "--images", "4", "--seeds", "2", "--no-ldpc", *shown, str(there))


def test_ldpc_is_not_asked_for_at_a_ber_that_nothing_else_meets(
    data: Path, toy_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert reproduce(data, toy_folder, tmp_path, "--ldpc-bers", "0.1,0.2", "--measure-only") == 1
    assert capfd.readouterr().err == "spikelink: --ldpc-bers names a BER that --bers lacks\n"
