# SPDX-License-Identifier: Apache-2.0
"""The decision's ablation: no image is scored by a network that saw it, K is the one that arrives, bits are paid."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from measurements import labelled_images, made_up
from toy_cifar import held_out, write_toy_cifar
from typer.testing import CliRunner

from channel.bits import PRIOR_BITS, pack, unpack
from channel.transmission import transmit
from cli.app import main
from experiments.ablations import crossfit
from experiments.ablations.bandwidths import ALL, Spent, groups, line, spend
from experiments.ablations.crossfit import out_of_fold
from experiments.ablations.decision import LEARNED
from experiments.ablations.inputs import NEED_PRIOR, priors
from experiments.ablations.scorer import CHANGE, NET, SCORES
from experiments.data import cifar100
from experiments.data.split import noise_block
from experiments.evaluation.outcomes import Floats, Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.rules import Rule
from experiments.reproduction.resampling import Resampler
from experiments.training.outlook import Fitting, Rows, fates, fit, predict
from models.systems import SYSTEMS, first_frame

BITS = (2048, 2560, 3072, 3584, 4096)


def outcomes_of(images: int, ber: float, seeds: int = 1) -> Outcomes:
    generator = np.random.default_rng(int(100 * ber))
    right = generator.random((seeds, images, 5)) < 0.7
    return Outcomes(ber, right, {"margin": generator.random((seeds, images, 5), dtype=np.float32)}, right[0, :, 0])


def test_no_image_is_scored_by_a_network_that_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only input is the image's number; what a network learned from or was chosen by, it must not predict."""
    images, folds = 23, 5
    cells = {ber: (outcomes_of(images, ber, seeds), numbered(images, seeds)) for ber, seeds in ((0.0, 1), (0.3, 2))}

    class Watching:
        def __init__(self, *seen: Rows) -> None:
            self.seen = {float(x) for rows in seen for x in rows.x_RF[:, 0]}

        def predict(self, x_XF: Floats) -> Floats:
            assert not self.seen & {float(x) for x in x_XF.ravel()}
            return np.repeat(x_XF, 3, axis=-1)

        def loss(self, rows: Rows) -> torch.Tensor:
            assert not self.seen & {float(x) for x in rows.x_RF[:, 0]}
            return torch.zeros(())

    networks: list[Watching] = []

    def watched(rows: Rows, others: Rows, _: Fitting) -> Watching:
        assert not {float(x) for x in rows.x_RF[:, 0]} & {float(x) for x in others.x_RF[:, 0]}
        networks.append(Watching(rows, others))
        return networks[-1]

    monkeypatch.setattr(crossfit, "fit", watched)
    monkeypatch.setattr(crossfit, "predict", Watching.predict)
    monkeypatch.setattr(crossfit, "loss", Watching.loss)
    done: list[int] = []
    predicted = out_of_fold(cells, folds, Fitting(), done.append)
    assert (len(networks), sum(done)) == (folds, images)
    assert all(18 <= len(network.seen) <= 19 for network in networks)
    for ber, (_, x_ANSF) in cells.items():  # every image at every point, once, in its own place
        assert np.array_equal(predicted.fates[ber][..., :1], x_ANSF)
    with pytest.raises(ValueError, match="not into 24"):
        out_of_fold(cells, 24, Fitting(), done.append)


def numbered(images: int, seeds: int) -> Floats:
    return np.broadcast_to(np.arange(images, dtype=np.float32)[None, :, None, None], (seeds, images, 5, 1)).copy()


def test_fates_are_shares_of_the_points_ahead() -> None:
    outcomes = made_up([[0, 1, 0, 1], [1, 1, 0, 1]], [[0.0] * 4] * 2, 0.1)
    found = fates(outcomes.correct_ANS)[0]
    assert found[0] == pytest.approx(np.array([[2 / 3, 0, 1 / 3], [0, 0.5, 0.5], [1, 0, 0]]))
    assert found[1] == pytest.approx(np.array([[0, 1 / 3, 2 / 3], [0, 0.5, 0.5], [1, 0, 0]]))


def test_a_score_rises_where_more_bits_have_less_to_do() -> None:
    gained, lost = np.array([0.5, 0.2, 0.0], dtype=np.float32), np.array([0.1, 0.1, 0.1], dtype=np.float32)
    fate_X3 = np.stack((gained, lost, 1 - gained - lost), axis=-1)
    for name in (CHANGE, NET):
        assert (np.diff(SCORES[name](fate_X3)) > 0).all()
    assert np.sign(SCORES[NET](fate_X3)).tolist() == [-1, -1, 1]


def test_a_network_learns_what_its_input_says_and_the_same_every_time() -> None:
    """A label changes if and only if x > 0."""
    x_RF = torch.randn(600, 1, generator=torch.Generator().manual_seed(0))
    changes = (x_RF[:, 0] > 0).float()
    rows = Rows(x_RF, torch.stack((changes, 0 * changes, 1 - changes), dim=1), torch.ones(600))
    fitting = Fitting(epochs=40, batch=64, learning_rate=1e-2)
    scorer = fit(rows.rows(torch.arange(400)), rows.rows(torch.arange(400, 600)), fitting)
    again = fit(rows.rows(torch.arange(400)), rows.rows(torch.arange(400, 600)), fitting)
    low, high = predict(scorer, np.array([[-1.0], [1.0]], dtype=np.float32))[:, 0]
    assert low < 0.1 < 0.9 < high
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in scorer.state_dict().items())


def test_k_is_what_the_session_receives(toy_folder: Path, tmp_path: Path) -> None:
    images, spec = labelled_images(40), Spec("resnet18", toy_folder)
    parts, system = spec.load(), SYSTEMS["snn-sc-harq"]
    frame = first_frame(system, parts.profile.harq)
    bits, _ = parts.transmitter.encode(parts.transmitter.begin(images.images_NCHW), frame)
    blocks = [noise_block(name) for name in images.ids()]
    found = priors(spec, images, tmp_path)
    for ber in (0.0, 0.2):
        for row, seed in enumerate((0, 3)):
            arrived = transmit(pack(bits), ber, seed=seed, blocks=blocks, position=frame.position).payload
            assert np.array_equal(found.received(ber, (0, 3))[row], unpack(arrived, 40)[:, :PRIOR_BITS])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert np.array_equal(priors(spec, images, tmp_path).sent_NK, found.sent_NK)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_rule_that_needs_k_pays_for_it() -> None:
    """Same score, same target of bits: 32 of them go to K, so that sessions stop earlier. Images move by 1.3 bits."""
    measured = {ber: outcomes_of(400, ber) for ber in (0.1, 0.3)}
    free, paying = Rule("free", "margin", BITS), Rule("paying", "margin", tuple(bits + 32 for bits in BITS))
    assert list(groups(measured)) == [0.1, 0.3, ALL]
    for group in groups(measured).values():
        for one, other in zip(spend(free, group, BITS), spend(paying, group, BITS), strict=True):
            target = BITS[0] + one.share * (BITS[-1] - BITS[0])
            assert one.bits_N.mean() == pytest.approx(target, abs=8)
            assert other.bits_N.mean() == pytest.approx(target, abs=8)
            assert other.theta < one.theta
    assert {name for name, rule in LEARNED.items() if NEED_PRIOR & set(rule.inputs)} == {
        "learned: margin, p, t, estimate", "learned: margin, p, t, K", "learned: everything"
    }  # fmt: skip


def test_a_gap_is_to_multi_rate_at_the_same_mean_bandwidth() -> None:
    """Every fourth image is sent to T, the others stop at t0: the mean is the bandwidth of t = 5."""
    outcomes = outcomes_of(400, 0.2)
    group, resampler = {0.2: outcomes}, Resampler(400, replicates=20)
    end_N = np.where(np.arange(400) % 4 == 0, 4, 0)
    trial_N, bits_N = outcomes.correct_ANS[0, np.arange(400), end_N].astype(float), np.array(BITS, dtype=float)[end_N]
    gap_R = line(group, BITS, 4, resampler).gap(Spent(0.25, 0.0, trial_N, bits_N), resampler)
    t5 = outcomes.correct_ANS[0, :, 1].mean()
    assert gap_R[0] == pytest.approx(100 * (trial_N.mean() - t5))
    assert len(gap_R) == 21


def test_decision_from_the_command_to_the_page(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_toy_cifar(tmp_path / "data", train=4, validation=12)
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: held_out(data))
    splits: list[str] = []
    load = cifar100.load
    monkeypatch.setattr(cifar100, "load", lambda source, split: splits.append(split) or load(source, split))
    where = ["--weights", toy_folder, "--runs", tmp_path / "runs", "--docs", tmp_path / "docs", "--data", data]
    arguments = ["ablate", "decision", "--folds", 3, "--seeds", 1, "--workers", 1, "--bers", "0,0.3", *where]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert (done.exit_code, done.stderr) == (0, "")
    assert splits == ["validation"]
    record = json.loads((tmp_path / "docs/results/ablations/decision-resnet18.json").read_text())
    assert (record["images"], record["folds"]) == (12, 3)
    means = {row["rule"]: row for row in record["gaps"] if (row["ber"], row["share"]) == ("all", "all")}
    assert set(LEARNED) < set(means)
    assert means["snn-sc-margin-harq"]["over_margin"] == {"points": 0.0, "interval": [0.0, 0.0]}
    text = (tmp_path / "docs" / "ablations.md").read_text()
    assert "## The decision: resnet18" in text
    assert "## The codec" not in text
    row = means["learned: margin, p, t"]
    assert f"`learned: margin, p, t` less the margin rule: {row['over_margin']['points']:+.2f} [" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("decision", "--epochs", "1"), "--epochs belongs to ablation codec, not to decision"),
        (("codec", "--folds", "4"), "--folds belongs to ablation decision, not to codec"),
        (("decision", "--variants", "control"), "--variants belongs to ablation codec"),
    ],
)
def test_an_option_of_the_other_ablation_takes_one_line(
    arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["ablate", *arguments])
    assert left.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
