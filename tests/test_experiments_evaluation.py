# SPDX-License-Identifier: Apache-2.0
"""One pass gives what the in-process link gives, image by image, and an interrupted one what a whole one gives."""

from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from measurements import Heard, labelled_images, made_up
from nodes import until
from toy import load_link

from experiments.data.cifar100 import LabelledImages
from experiments.data.split import noise_block
from experiments.evaluation import measure as measuring
from experiments.evaluation.measure import Measurement, Plan, measure
from experiments.evaluation.outcomes import Floats, Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.rules import (
    at_point,
    by_crc,
    by_threshold,
    first_correct,
    harq_rules,
    payload_bits,
    stop_columns,
)
from experiments.evaluation.thresholds import default_threshold, price_per_bit, threshold_for_share
from experiments.evaluation.units import UnitStore
from models.link import BlockTrace, Request
from models.profiles import PROFILES
from models.systems import SYSTEMS

BERS, SEEDS = (0.0, 0.1, 0.3), (5, 6)
PLAN = Plan("snn-sc", BERS, SEEDS)
HARQ = PROFILES["resnet18"].harq
RULES = harq_rules(HARQ, ("similarity", "margin"))


@pytest.fixture(scope="module")
def spec(toy_folder: Path) -> Spec:
    return Spec("resnet18", toy_folder)


@pytest.fixture(scope="module")
def labelled() -> LabelledImages:
    return labelled_images(24)


@pytest.fixture(scope="module")
def whole(spec: Spec, labelled: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    store = UnitStore(tmp_path_factory.mktemp("units"))
    return measure(spec, labelled, PLAN, store, 1, Heard())


def over_the_link(
    folder: Path, labelled: LabelledImages, name: str, channel: tuple[float, int], knob: float | None
) -> list[BlockTrace]:
    # The link wants no order of its blocks; HTTP does, and the noise knows neither.
    blocks, system = tuple(noise_block(identity) for identity in labelled.ids()), SYSTEMS[name]
    theta, t = knob if system.takes_threshold else None, int(knob) if system.takes_t and knob else None
    return load_link(folder).run(labelled.images_NCHW, Request(system, *channel, blocks, theta, t))


def right(traces: list[BlockTrace], labelled: LabelledImages) -> list[bool]:
    return [trace.class_index == label for trace, label in zip(traces, labelled.labels_N, strict=True)]


Case = tuple[str, float, int, float]


def cases() -> list[Case]:
    """(system, BER, seed, quantile of the scores at which theta lies), at random."""
    generator = np.random.default_rng(7)
    return [
        (name, float(generator.choice(BERS[1:])), int(generator.choice(SEEDS)), round(float(generator.random()), 3))
        for name in RULES
        for _ in range(4)
    ]


@pytest.mark.parametrize("case", cases(), ids=lambda case: "-".join(map(str, case)))
def test_a_stop_rule_on_the_pass_is_the_link(
    whole: Measurement, labelled: LabelledImages, toy_folder: Path, case: Case
) -> None:
    name, ber, seed, quantile = case
    measured, rule, row = whole.by_ber[ber], RULES[name], SEEDS.index(seed)
    # snn-sc-harq's pass sends the same spikes at the same positions as the margin's, which has no prior bits.
    score_NS: Floats = measured.scores[rule.score][row]
    theta = float(np.quantile(score_NS, quantile))
    traces = over_the_link(toy_folder, labelled, name, (ber, seed), theta)
    stops = stop_columns(score_NS, theta)
    assert [len(trace.rounds) - 1 for trace in traces] == stops.tolist()
    assert measured.correct_ANS[row][np.arange(24), stops].tolist() == right(traces, labelled)
    assert [rule.bits_S[stop] for stop in stops] == [trace.bandwidth_bits for trace in traces]


def test_seeds_are_averaged_image_by_image(whole: Measurement, labelled: LabelledImages, toy_folder: Path) -> None:
    rule = RULES["snn-sc-harq"]
    theta = float(np.median(whole.by_ber[0.3].scores[rule.score]))
    runs = [over_the_link(toy_folder, labelled, rule.name, (0.3, seed), theta) for seed in SEEDS]
    trial = by_threshold(rule, whole.by_ber[0.3], theta)
    assert trial.bits_N.tolist() == np.mean([[t.bandwidth_bits for t in traces] for traces in runs], axis=0).tolist()
    assert trial.correct_N.tolist() == np.mean([right(traces, labelled) for traces in runs], axis=0).tolist()
    assert trial.mean_rounds == pytest.approx(np.mean([len(t.rounds) for traces in runs for t in traces]))


@pytest.mark.parametrize("t", [4, 8])
def test_a_fixed_rate_on_the_pass_is_the_link(
    whole: Measurement, labelled: LabelledImages, toy_folder: Path, t: int
) -> None:
    traces = over_the_link(toy_folder, labelled, "multi-rate", (0.3, SEEDS[1]), t)
    assert whole.by_ber[0.3].correct_ANS[1][:, t - 4].tolist() == right(traces, labelled)
    bits_S = payload_bits(SYSTEMS["multi-rate"], HARQ)
    assert at_point(whole.by_ber[0.3], t - 4, bits_S).bandwidth_bits == 512 * t == traces[0].bandwidth_bits


@pytest.mark.parametrize("ber", [0.0, 0.05, 0.1])
def test_separate_coding_on_the_pass_is_the_link(
    spec: Spec, labelled: LabelledImages, toy_folder: Path, tmp_path: Path, ber: float
) -> None:
    name, few = "snn-sc-ldpc-harq", labelled.select(np.arange(6))
    measured = measure(spec, few, Plan("snn-sc-ldpc", (ber,), (5,)), UnitStore(tmp_path), 1, Heard()).by_ber[ber]
    trial = by_crc(measured, payload_bits(SYSTEMS[name], HARQ))
    traces = over_the_link(toy_folder, few, name, (ber, 5), None)
    assert trial.bits_N.tolist() == [trace.bandwidth_bits for trace in traces]
    assert trial.correct_N.tolist() == right(traces, few)


@pytest.mark.parametrize("t", [1, 5, 8])
def test_the_one_bit_codec_on_the_pass_is_the_link(
    spec: Spec, labelled: LabelledImages, toy_folder: Path, tmp_path: Path, t: int
) -> None:
    measured = measure(spec, labelled, Plan("cnn-1bit", (0.1,), (5,)), UnitStore(tmp_path), 1, Heard()).by_ber[0.1]
    trial = at_point(measured, t - 1, payload_bits(SYSTEMS["cnn-1bit"], HARQ))
    traces = over_the_link(toy_folder, labelled, "cnn-1bit", (0.1, 5), t)
    assert trial.correct_N.tolist() == right(traces, labelled)
    assert trial.bandwidth_bits == 512 * t == traces[0].bandwidth_bits


def test_without_noise_one_seed_stands_for_all(whole: Measurement) -> None:
    assert whole.by_ber[0.0].correct_ANS.shape == (1, 24, 5)
    assert whole.by_ber[0.1].correct_ANS.shape == (2, 24, 5)


def test_another_images_prior_changes_the_estimate_and_nothing_else(whole: Measurement) -> None:
    scores = whole.by_ber[0.1].scores
    assert not np.array_equal(scores["similarity"], scores["shuffled"])
    assert set(scores) == {"similarity", "margin", "probability", "shuffled", "truth"}


def same(one: Outcomes, other: Outcomes) -> bool:
    assert one.scores.keys() == other.scores.keys()
    return np.array_equal(one.correct_ANS, other.correct_ANS) and all(
        np.array_equal(one.scores[name], other.scores[name]) for name in one.scores
    )


def test_broken_off_and_repeated_is_the_same(
    spec: Spec, labelled: LabelledImages, whole: Measurement, tmp_path: Path
) -> None:
    store = UnitStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        measure(spec, labelled, PLAN, store, 1, Heard(breaks_after=2))
    (tmp_path / "snn-sc" / "0.npz.1.partial").write_bytes(b"what a kill in the middle of writing leaves")
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert len(finished) == 2
    heard = Heard()
    again = measure(spec, labelled, PLAN, store, 1, heard)
    assert (heard.total, heard.found, heard.computed) == (5 * 24, 2 * 24, 3 * 24)
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items())
    assert all(same(again.by_ber[ber], whole.by_ber[ber]) for ber in BERS)


def test_processes_and_file_order_do_not_show(
    spec: Spec, labelled: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "UNIT_IMAGES", 8)
    plan = Plan("snn-sc", (0.3,), (5,))
    one = measure(spec, labelled, plan, UnitStore(tmp_path / "one"), 1, Heard())
    backwards, heard = labelled.select(np.arange(24)[::-1].copy()), Heard()
    two = measure(spec, backwards, plan, UnitStore(tmp_path / "two"), 2, heard)
    assert same(one.by_ber[0.3], two.by_ber[0.3])
    assert heard.computed == heard.total == 24


def test_processes_that_are_interrupted_finish_a_unit_and_no_task(
    spec: Spec, labelled: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task is an image range at every BER and seed, which with trained weights takes minutes."""
    monkeypatch.setattr(measuring, "UNIT_IMAGES", 8)
    plan = Plan("snn-sc", (0.3,), tuple(range(400)))
    with pytest.raises(KeyboardInterrupt):
        measure(spec, labelled, plan, UnitStore(tmp_path), 2, Heard(breaks_after=1))
    until(lambda: not active_children(), "the end of the processes")
    assert 0 < len(list(tmp_path.rglob("*.npz"))) < 3 * 400 / 2


def test_other_weights_images_or_noise_are_other_units(labelled: LabelledImages, spec: Spec, tmp_path: Path) -> None:
    store, heard = UnitStore(tmp_path), Heard()
    measure(spec, labelled.select(np.arange(8)), Plan("snn-sc", (0.3,), (5,)), store, 1, heard)
    relabelled = LabelledImages(labelled.images_NCHW[:8], labelled.labels_N[:8] + 1)
    for images, plan in (
        (labelled.select(np.arange(8)), Plan("snn-sc", (0.3,), (6,))),
        (labelled.select(np.arange(8)), Plan("snn-sc", (0.1,), (5,))),
        (relabelled, Plan("snn-sc", (0.3,), (5,))),
    ):
        heard = Heard()
        measure(spec, images, plan, store, 1, heard)
        assert (heard.found, heard.computed) == (0, 8)


def test_a_larger_theta_never_costs_fewer_bits(whole: Measurement) -> None:
    for measured in whole.by_ber.values():
        thetas = np.linspace(-9, 9, 61)
        costs = [by_threshold(RULES["snn-sc-harq"], measured, theta).bandwidth_bits for theta in thetas]
        assert costs == sorted(costs)
        assert (costs[0], costs[-1]) == (2080, 4128)


def test_the_budget_is_spent(whole: Measurement) -> None:
    rule, clean = RULES["snn-sc-harq"], whole.by_ber[0.0]
    theta = default_threshold(rule, whole.by_ber, limit_bits=2500)
    assert by_threshold(rule, clean, theta).bandwidth_bits <= 2500
    assert theta == 1.0 or by_threshold(rule, clean, theta + 0.0011).bandwidth_bits > 2500
    with pytest.raises(ValueError, match="at any threshold"):
        default_threshold(rule, whole.by_ber, limit_bits=2000)


def test_gain_sends_no_bit_that_buys_less_than_it_buys_a_fixed_rate() -> None:
    """Two images in a hundred gain by waiting, and their margin is below 0.2; the others would wait for nothing."""
    right_NS = [[0, 1, 1, 1, 1]] * 2 + [[1] * 5] * 98
    margin_NS = [[0.1, 0.9, 0.9, 0.9, 0.9]] * 2 + [[0.3] * 5] * 98
    measured = {0.0: made_up(right_NS, margin_NS, 0.0)}
    rule = RULES["snn-sc-margin-harq"]
    assert price_per_bit(rule, measured) == pytest.approx(2 / 2048)
    theta = default_threshold(rule, measured, limit_bits=4096)
    assert 0.1 <= theta < 0.3
    assert by_threshold(rule, measured[0.0], theta).accuracy == 100


def test_one_lucky_theta_does_not_win() -> None:
    """Of 100 images 4 gain from theta 0.1 on and 3 lose from 0.5 on; 6 are right at theta 0.6 alone."""
    groups: list[tuple[int, list[int], list[float]]] = [
        (4, [0, 1, 1, 1, 1], [0.1, 0.9, 0.9, 0.9, 0.9]),
        (3, [1, 0, 0, 0, 0], [0.5, 0.9, 0.9, 0.9, 0.9]),
        (6, [0, 1, 0, 0, 0], [0.6, 0.61, 0.9, 0.9, 0.9]),
        (87, [1] * 5, [0.95] * 5),
    ]
    right_NS = [right for count, right, _ in groups for _ in range(count)]
    margin_NS = [margin for count, _, margin in groups for _ in range(count)]
    measured = {0.0: made_up(right_NS, margin_NS, 0.0)}
    rule = RULES["snn-sc-margin-harq"]
    assert by_threshold(rule, measured[0.0], 0.6).accuracy > by_threshold(rule, measured[0.0], 0.3).accuracy
    assert 0.1 <= default_threshold(rule, measured, limit_bits=4096) < 0.5


def test_thresholds_of_the_figures_span_the_bandwidths() -> None:
    generator = np.random.default_rng(0)
    margins = generator.random((400, 5)).tolist()
    measured = {ber: made_up([[1] * 5] * 400, margins, ber) for ber in (0.0, 0.1)}
    rule = RULES["snn-sc-margin-harq"]
    for share in (0.25, 0.5, 0.75):
        bits = by_threshold(rule, measured[0.0], threshold_for_share(rule, measured, share)).bandwidth_bits
        assert bits == pytest.approx(2048 + share * 2048, abs=15)


def test_the_oracle_of_labels_stops_where_the_label_is_right_first() -> None:
    right_NS = [[0, 0, 1, 0, 1], [0] * 5, [1] * 5]
    trial = first_correct(made_up(right_NS, [[0.0] * 5] * 3, 0.1), payload_bits(SYSTEMS["multi-rate"], HARQ))
    assert trial.correct_N.tolist() == [1, 0, 1]
    assert trial.bits_N.tolist() == [6 * 512, 4 * 512, 4 * 512]


def test_scores_and_theta_are_compared_as_float32() -> None:
    """float32(0.1) is larger than the double 0.1, and yet does not exceed a theta of 0.1."""
    score_NS = np.array([[np.float32(0.1), np.float32(0.2)]])
    assert stop_columns(score_NS, 0.1).tolist() == [1], (
        "float32(0.1) exceeds the double 0.1, and must not count as above"
    )
