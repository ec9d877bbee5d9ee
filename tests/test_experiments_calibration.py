# SPDX-License-Identifier: Apache-2.0
"""``spikelink evaluate`` with HARQ systems of one's own: treated like the paper's, or named with a reason.

The extend page's test does the same with a codec of one's own.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import load_link
from toy_cifar import held_out, write_toy_cifar

from cli.app import main
from experiments.data import cifar100
from experiments.data.split import noise_block
from experiments.evaluation.passes import obstacle, pass_of, sender_of
from experiments.training.export import Destination, export_parts
from models.codecs import CNN_1BIT, SNN_SC_LDPC, UNCOMPRESSED, Steps
from models.link import Request
from models.parts import ALL_CLOUD_PARTS
from models.profiles import PROFILES
from models.systems import SYSTEMS, StopRule, System

IMAGES, BERS = 6, (0.0, 0.2)
BLOCKS = System("blocks-harq", "stops by the margin", CNN_1BIT, StopRule.MARGIN)
CODED = System("coded-harq", "stops by the margin, and never by the CRC", SNN_SC_LDPC, StopRule.MARGIN)
WIDE = System("wide-harq", "begins with 2,560 bits", replace(CNN_1BIT, rate=Steps(first=5, last=8)), StopRule.MARGIN)
WHOLE = System("whole-harq", "has nothing to stop at", UNCOMPRESSED, StopRule.MARGIN)
LEARNED = SYSTEMS["snn-sc-learned-harq"]
OWN = {"snn-sc-harq", "snn-sc-margin-harq", "snn-sc-learned-harq"}
NO_ROOM = System("coded-similarity", "has K, and a codec that starts at bit 0", SNN_SC_LDPC, StopRule.SIMILARITY)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_toy_cifar(tmp_path / "data", train=2, validation=IMAGES)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(folder))
    return folder


@pytest.fixture
def weights(toy_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toy_folder, tmp_path / "weights")


def add(monkeypatch: pytest.MonkeyPatch, *systems: System) -> None:
    """To the catalogue of this process: one worker, then, is all that measures."""
    for system in systems:
        monkeypatch.setitem(SYSTEMS, system.name, system)


def manifest_of(weights: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((weights / "resnet18" / "manifest.json").read_text())
    return manifest


def enter(weights: Path, thresholds: dict[str, float]) -> None:
    manifest = manifest_of(weights)
    manifest["thresholds"].update(thresholds)
    (weights / "resnet18" / "manifest.json").write_text(json.dumps(manifest))


def evaluate(data: Path, weights: Path, *more: str) -> list[dict[str, Any]]:
    """The points of ``--json``."""
    file = data / "figures.json"
    where = ["--data", str(data), "--weights", str(weights), "--runs", str(data / "runs"), "--json", str(file)]
    arguments = ["--split", "validation", "--bers", "0,0.2", "--workers", "1", *where, *more]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", *arguments])
    assert not left.value.code
    points: list[dict[str, Any]] = json.loads(file.read_text())["points"]
    return points


def named(points: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [point for point in points if point["system"] == name]


def test_a_system_on_another_codec_is_calibrated_and_shown(
    data: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, BLOCKS)
    points = evaluate(data, weights, "--calibrate")
    assert capfd.readouterr().err == ""
    thresholds = manifest_of(weights)["thresholds"]
    assert set(thresholds) == {*OWN, BLOCKS.name}
    assert manifest_of(weights)["provenance"]["thresholds"]["rules"][BLOCKS.name] == "gain"
    shown = named(points, BLOCKS.name)
    assert [(point["ber"], point["theta"]) for point in shown] == [(ber, thresholds[BLOCKS.name]) for ber in BERS]
    assert shown[0]["bandwidth_bits"] <= 2500
    # The fixed rate on the same codec has been measured with it.
    assert [point["t"] for point in named(points, "cnn-1bit") if point["ber"] == 0] == list(range(1, 9))


@pytest.mark.parametrize(
    ("system", "theta"), [(BLOCKS, 0.8), (CODED, 0.3), (LEARNED, None)], ids=["blocks", "coded", "learned"]
)
def test_what_is_shown_is_the_link(
    data: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, system: System, theta: float | None
) -> None:
    """Coded: the CRC's own pass ends where the CRC holds, and a margin asks for what follows."""
    add(monkeypatch, system)
    theta = manifest_of(weights)["thresholds"][system.name] if theta is None else theta
    enter(weights, {system.name: theta})
    shown = named(evaluate(data, weights), system.name)
    images = cifar100.load(data, "validation").by_id()
    blocks = tuple(noise_block(name) for name in images.ids())
    for point, ber in zip(shown, BERS, strict=True):
        traces = load_link(weights).run(images.images_NCHW, Request(system, ber, 0, blocks, theta))
        to_the_digit = {"rel": 0, "abs": 1e-5}
        assert point["bandwidth_bits"] == pytest.approx(
            np.mean([trace.bandwidth_bits for trace in traces]), **to_the_digit
        )
        assert point["mean_rounds"] == pytest.approx(np.mean([len(trace.rounds) for trace in traces]), **to_the_digit)
        right = [trace.class_index == label for trace, label in zip(traces, images.labels_N, strict=True)]
        assert point["accuracy"] == pytest.approx(100 * np.mean(right), **to_the_digit)
    assert shown[1]["mean_rounds"] > 1, "nothing is compared where all stop at once"


def test_what_cannot_be_measured_is_named_and_the_others_are_calibrated(
    data: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, WHOLE, NO_ROOM, WIDE)
    enter(weights, {WIDE.name: 0.25, WHOLE.name: 0.5})
    before = manifest_of(weights)["thresholds"]
    evaluate(data, weights, "--calibrate")
    assert capfd.readouterr().err.splitlines() == [
        "spikelink: whole-harq is left out: codec uncompressed has no steps",
        "spikelink: coded-similarity is left out: codec snn-sc-ldpc starts at bit 0 and leaves no room for the 32 bits "
        "of K",
        "spikelink: wide-harq needs more than 2500 bits at any threshold; its default stays as it was",
    ]
    after = manifest_of(weights)
    assert {name: after["thresholds"][name] for name in (WIDE.name, WHOLE.name)} == {WIDE.name: 0.25, WHOLE.name: 0.5}
    assert after["thresholds"]["snn-sc-harq"] != before["snn-sc-harq"]
    assert set(after["provenance"]["thresholds"]["rules"]) == OWN


def test_what_a_profile_lacks_is_named(
    data: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, BLOCKS)
    assert named(evaluate(data, weights), BLOCKS.name) == []
    chooses = "which spikelink evaluate --split validation --calibrate chooses"
    assert capfd.readouterr().err == (
        f"spikelink: blocks-harq is left out: profile resnet18 lacks a threshold, {chooses}\n"
    )
    manifest = manifest_of(weights)
    del manifest["parts"]["cnn-1bit-decoder"]
    (weights / "resnet18" / "manifest.json").write_text(json.dumps(manifest))
    assert named(evaluate(data, weights, "--calibrate"), BLOCKS.name) == []
    assert capfd.readouterr().err == ("spikelink: blocks-harq is left out: profile resnet18 lacks cnn-1bit-decoder\n")


def test_passes_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units on disk are found by them, whatever systems are added."""
    add(monkeypatch, BLOCKS, CODED)
    own = {name: pass_of(system) for name, system in SYSTEMS.items() if obstacle(system) is None}
    assert own == {
        "snn-sc-harq": "snn-sc",
        "snn-sc-margin-harq": "snn-sc",
        "snn-sc-learned-harq": "snn-sc",
        "multi-rate": "snn-sc",
        "snn-sc-ldpc-harq": "snn-sc-ldpc",
        "cnn-1bit": "cnn-1bit",
        BLOCKS.name: "cnn-1bit",
        CODED.name: "snn-sc-ldpc-scores",
    }
    assert sender_of("snn-sc").name == "snn-sc-harq"
    assert sender_of("snn-sc-ldpc").stop is StopRule.CRC
    assert not sender_of("cnn-1bit").sends_prior


def test_new_weights_of_a_codec_take_the_thresholds_on_it_away(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, BLOCKS)
    enter(weights, {BLOCKS.name: 0.2})
    before = manifest_of(weights)["thresholds"]
    decoder = ALL_CLOUD_PARTS["cnn-1bit-decoder"](PROFILES["resnet18"])
    export_parts({"cnn-1bit-decoder": decoder}, Destination(weights, "resnet18", "cnn-1bit"), {})
    assert manifest_of(weights)["thresholds"] == {name: before[name] for name in before if name != BLOCKS.name}
