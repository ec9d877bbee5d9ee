# SPDX-License-Identifier: Apache-2.0
"""The learned stop rule: what it is fitted to, that it is found again, and that batch and device do not show in it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from measurements import Heard, made_up
from toy_cifar import held_out, write_toy_cifar

from cli.app import main
from experiments.data import cifar100
from experiments.evaluation.learned_rule import with_learned_scores
from experiments.evaluation.measure import Plan, measure
from experiments.evaluation.parts import Spec
from experiments.evaluation.units import UnitStore
from experiments.training.loop import DivergedError
from experiments.training.outlook import Fitting, Rows, fit
from models.networks.outlook import Outlook, outlook, seen


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_toy_cifar(tmp_path / "data", train=2, validation=10)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(folder))
    return folder


@pytest.fixture
def weights(toy_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toy_folder, tmp_path / "weights")


def evaluate(data: Path, weights: Path, *more: str) -> None:
    where = ["--data", str(data), "--weights", str(weights), "--runs", str(data / "runs")]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--split", "validation", "--bers", "0,0.2", "--workers", "1", *where, *more])
    assert not left.value.code


def test_learning_writes_a_network_and_its_threshold(data: Path, weights: Path) -> None:
    path = weights / "resnet18" / "manifest.json"
    before = json.loads(path.read_text())
    evaluate(data, weights, "--calibrate", "--learn")
    after = json.loads(path.read_text())
    assert {name for name in after["parts"] if after["parts"][name] != before["parts"][name]} == {"outlook"}
    assert after["provenance"]["outlook"]["bers"] == [0.0, 0.2]
    assert after["provenance"]["outlook"]["seeds"] == [0, 1]
    assert after["provenance"]["thresholds"]["rules"]["snn-sc-learned-harq"] == "gain"
    evaluate(data, weights, "--calibrate", "--learn")
    assert json.loads(path.read_text()) == after, "the same images teach the same"


def test_learning_without_choosing_a_threshold_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--learn"])
    assert "--learn belongs to --calibrate" in capsys.readouterr().err


def test_the_rule_goes_on_where_it_learned_that_labels_are_gained() -> None:
    """Two kinds of rows, told apart by one input alone: of the one all labels are mended, of the other none."""
    x_RF = torch.rand(600, 4, generator=torch.Generator().manual_seed(0))
    mended_R = x_RF[:, 2] > 0.5
    fate_R3 = torch.stack((mended_R, torch.zeros_like(mended_R), ~mended_R), dim=1).float()
    rows = Rows(x_RF, fate_R3, torch.ones(600))
    network = fit(rows.rows(torch.arange(450)), rows.rows(torch.arange(450, 600)), Fitting(batch=32))
    score_R = outlook(network, x_RF)
    clear_R = (x_RF[:, 2] - 0.5).abs() > 0.05
    assert score_R[mended_R & clear_R].max() < score_R[~mended_R & clear_R].min(), "one theta tells them apart"
    assert float(score_R[mended_R].mean()) < -0.9
    assert float(score_R[~mended_R].mean()) > -0.3


def test_neither_batch_nor_order_shows_in_a_score() -> None:
    torch.manual_seed(0)
    network, margin_B = Outlook(), torch.rand(4001)
    order_B = torch.randperm(4001)
    whole_B = outlook(network, seen(margin_B, torch.full((4001,), 0.2), torch.full((4001,), 3.0)))
    for size in (1, 2, 3, 16, 33):
        some_B = outlook(network, seen(margin_B[:size], torch.full((size,), 0.2), torch.full((size,), 3.0)))
        np.testing.assert_array_equal(some_B.numpy(), whole_B[:size].numpy())
    moved_B = outlook(network, seen(margin_B[order_B], torch.full((4001,), 0.2), torch.full((4001,), 3.0)))
    np.testing.assert_array_equal(moved_B.numpy(), whole_B[order_B].numpy())


def test_a_rule_that_diverges_is_not_written() -> None:
    rows = Rows(torch.full((64, 4), torch.nan), torch.full((64, 3), 1 / 3), torch.ones(64))
    with pytest.raises(DivergedError, match="no epoch of the learned rule"):
        fit(rows, rows, Fitting(epochs=1))


def test_a_profile_without_the_network_has_no_such_score(data: Path, weights: Path) -> None:
    spec, images = Spec("resnet18", weights), cifar100.load(data, "validation").by_id()
    plan = Plan("snn-sc", (0.1,), (0,))
    found = measure(spec, images, plan, UnitStore(data / "runs"), 1, Heard()).by_ber
    assert "outlook" in with_learned_scores(spec, "snn-sc", found)[0.1].scores
    assert with_learned_scores(spec, "cnn-1bit", found) is found
    manifest = json.loads((weights / "resnet18" / "manifest.json").read_text())
    del manifest["parts"]["outlook"]
    (weights / "resnet18" / "manifest.json").write_text(json.dumps(manifest))
    assert with_learned_scores(spec, "snn-sc", found) is found


def test_made_up_outcomes_keep_their_other_scores(weights: Path) -> None:
    outcomes = made_up([[0, 0, 0, 1, 1]], [[0.1, 0.2, 0.3, 0.9, 1.0]], 0.1)
    scored = with_learned_scores(Spec("resnet18", weights), "snn-sc", {0.1: outcomes})[0.1]
    assert scored.scores["margin"] is outcomes.scores["margin"]
    assert scored.scores["outlook"].shape == (1, 1, 5)
    assert np.abs(scored.scores["outlook"]).max() <= 1
