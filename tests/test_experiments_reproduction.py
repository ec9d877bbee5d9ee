# SPDX-License-Identifier: Apache-2.0
"""The statistics behind figures and tables, each against a count by hand."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from measurements import Heard, labelled_images, made_up

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.measure import Plan
from experiments.evaluation.parts import Spec
from experiments.evaluation.rules import Trial
from experiments.evaluation.units import UnitStore
from experiments.reproduction.backbone import first_backbone, noted
from experiments.reproduction.control import best_mix, draws
from experiments.reproduction.decisions import area
from experiments.reproduction.energy import session
from experiments.reproduction.gaps import interpolated
from experiments.reproduction.material import Material
from experiments.reproduction.measuring import Options, baselines_of
from experiments.reproduction.operations import OperationCounter
from experiments.reproduction.reproduce import COMMITTED
from experiments.reproduction.resampling import Resampler, interval
from experiments.reproduction.sample import MADE_UP_IMAGES, Sampler, differences, made_up_images
from models.systems import SYSTEMS
from models.weights import WEIGHTS_FOLDER

BITS = (2048, 2560, 3072, 3584, 4096)


def test_multi_rate_is_interpolated_between_its_ts() -> None:
    fixed_RT = np.array([[0.5, 0.6, 0.64, 0.66, 0.67]] * 6)
    bits_R = np.array([1000.0, 2048.0, 2304.0, 3584.0, 4000.0, 5000.0])
    assert interpolated(fixed_RT, bits_R, 4) == pytest.approx(np.interp(bits_R, BITS, fixed_RT[0]))


def test_every_column_sees_the_same_resamples() -> None:
    generator = np.random.default_rng(1)
    x_N, y_N = generator.random(50), generator.random(50)
    resampler = Resampler(50, replicates=300)
    apart, together = resampler.means(x_N)[:, 0], resampler.means(y_N, x_N, x_N - y_N)
    assert together[:, 1] == pytest.approx(apart)
    assert together[:, 2] == pytest.approx(together[:, 1] - together[:, 0])


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    x_N = np.random.default_rng(2).random(2000)
    low, high = interval(Resampler(2000).means(x_N)[:, 0])
    half = 1.96 * x_N.std() / np.sqrt(2000)
    # 2,000 resamples fix an end of the interval to about 3 % of its half width.
    assert (low, high) == pytest.approx((x_N.mean() - half, x_N.mean() + half), abs=0.12 * half)


def test_the_control_mixes_the_best_pair_that_meets_the_bandwidth() -> None:
    """Right at t = 4: 50 %, 5: 52 %, 6: 58 %, 7: 58 %, 8: 60 %; 5 is worth less than mixing 4 and 6."""
    right = np.zeros((100, 5), dtype=int)
    for point, count in enumerate((50, 52, 58, 58, 60)):
        right[:count, point] = 1
    outcomes = made_up(right.tolist(), [[0.0] * 5] * 100, 0.1)
    mix = best_mix(outcomes, BITS, 2560.0)
    assert (mix.low, mix.high, mix.share) == (0, 2, 0.5)
    cheapest, dearest = best_mix(outcomes, BITS, 100.0), best_mix(outcomes, BITS, 9999.0)
    assert (cheapest.low, cheapest.share) == (0, 0.0)
    assert (dearest.high, dearest.share) == (4, 1.0)


def test_the_controls_draws_are_uniform_keyed_and_differ_by_seed() -> None:
    ids = tuple(labelled_images(200).ids())
    u_AN = draws(ids, 3)
    assert np.array_equal(u_AN[:, ::-1], draws(ids[::-1], 3))
    assert (u_AN >= 0).all()
    assert (u_AN < 1).all()
    assert abs(u_AN.mean() - 0.5) < 5 / np.sqrt(12 * u_AN.size)
    assert len(np.unique(u_AN)) == u_AN.size


def test_the_area_counts_pairs_with_ties_half() -> None:
    generator = np.random.default_rng(3)
    score, right = generator.integers(0, 6, 60).astype(np.float32), generator.random(60) < 0.6
    pairs = [float(a > b) + 0.5 * float(a == b) for a, b in product(score[right], score[~right])]
    assert area(score, right) == pytest.approx(np.mean(pairs))
    assert area(score, np.ones(60, dtype=np.bool_)) is None


@pytest.fixture(scope="module")
def counter(toy_folder: Path) -> OperationCounter:
    return OperationCounter(Spec("resnet18", toy_folder), labelled_images(4), 0)


def test_operations_are_those_of_the_layers(counter: OperationCounter) -> None:
    """The task head of resnet18: two convolutions 512 -> 512 on 4 x 4, and 512 -> 100; padding counts as input."""
    head = counter.shared()["head"]
    assert head.mac == pytest.approx(2 * 512 * 512 * 9 * 16 + 512 * 100, rel=0.01)
    assert head.energy_pj == pytest.approx(4.6 * head.mac + 0.9 * head.ac)
    spiking = counter.spiking(0.1)
    assert spiking["current"].mac == pytest.approx(512 * 256 * 9 * 16, rel=0.01)
    assert spiking["current"].synop == 0
    # At most one operation a synapse; spikes are fewer.
    assert 0 < spiking["reconstructor 1"].synop < (32 * 256 + 256 * 512) * 9 * 16
    assert spiking["reconstructor 1"].mac < 0.01 * spiking["reconstructor 1"].synop


def test_a_session_adds_up_what_ran(counter: OperationCounter) -> None:
    counts = {**counter.shared(), **counter.spiking(0.1)}
    paper, margin, fixed = (SYSTEMS[name] for name in ("snn-sc-harq", "snn-sc-margin-harq", "multi-rate"))
    edge, cloud = session(counts, paper, 6, 4)
    _, fixed_cloud = session(counts, fixed, 6, 4)
    _, margin_cloud = session(counts, margin, 6, 4)
    earlier = counts["converter 4"].energy_pj + counts["converter 5"].energy_pj
    assert cloud.energy_pj == pytest.approx(fixed_cloud.energy_pj + earlier + 3 * counts["similarity"].energy_pj)
    assert margin_cloud.energy_pj == pytest.approx(fixed_cloud.energy_pj + earlier + 2 * counts["head"].energy_pj)
    without = session(counts, margin, 6, 4)[0]
    assert edge.energy_pj == pytest.approx(without.energy_pj + counts["prior"].energy_pj)


def test_the_first_backbone_is_known_from_what_was_noted_of_it(tmp_path: Path) -> None:
    """Joint fine-tuning has replaced it; results that go elsewhere find it in the project's own."""
    spec, nothing = Spec("resnet18"), cast(Material, None)
    images = LabelledImages(np.zeros((10_000, 3, 32, 32), dtype=np.uint8), np.zeros(10_000, dtype=np.int64))
    before = noted(COMMITTED / "resnet18")
    assert before is not None
    assert noted(tmp_path) is None
    found = first_backbone(spec, tmp_path, images, nothing, [{**before, "images": 9}, before])
    assert found is not None
    assert 100 * found.correct_N.mean() == pytest.approx(before["accuracy"])
    assert dict(found.sha256) == before["sha256"]
    other = {**before, "sha256": dict.fromkeys(before["sha256"], 64 * "0")}
    assert first_backbone(spec, tmp_path, images, nothing, [other]) is None


def test_a_trials_interval_is_that_of_a_share() -> None:
    correct_N = np.array([1.0] * 70 + [0.0] * 30)
    trial = Trial(correct_N, np.full(100, 2048.0), (1.0, 0.0), seeds=1)
    assert (trial.accuracy, trial.half_width) == (pytest.approx(70), pytest.approx(196 * np.sqrt(0.7 * 0.3 / 100)))


def test_the_sample_repeats_and_tells_other_labels_and_noise_apart(toy_folder: Path, tmp_path: Path) -> None:
    sampler = Sampler(Spec("resnet18", toy_folder), UnitStore(tmp_path), 1, Heard())
    images = made_up_images()
    figures = sampler.figures(images)
    assert figures["images"] == MADE_UP_IMAGES
    assert differences(figures, sampler.figures(images)) == []
    flipped = LabelledImages(images.images_NCHW[:, :, ::-1].copy(), images.labels_N)
    assert differences(sampler.figures(flipped), figures)


@pytest.mark.parametrize(("given", "cnn"), [(None, (0, 1, 2)), (2, (0, 1))])
def test_baselines_meet_the_first_noise_seeds_and_bers(given: int | None, cnn: tuple[int, ...], tmp_path: Path) -> None:
    spec, bers = Spec("resnet18", WEIGHTS_FOLDER), (0.0, 0.1)
    options = Options(spec, tmp_path, bers, (0, 1, 2), 1, tmp_path, tmp_path, baseline_seeds=given)
    ldpc, cnn_plan = Plan("snn-sc-ldpc", bers, (0,)), Plan("cnn-1bit", bers, cnn)
    assert dict(baselines_of(options)) == {"snn-sc-ldpc-harq": ldpc, "cnn-1bit": cnn_plan}
    assert dict(baselines_of(replace(options, ldpc=False))) == {"cnn-1bit": cnn_plan}
    fewer = replace(ldpc, bers=(0.1,))
    assert dict(baselines_of(replace(options, ldpc_bers=(0.1,)))) == {"snn-sc-ldpc-harq": fewer, "cnn-1bit": cnn_plan}
