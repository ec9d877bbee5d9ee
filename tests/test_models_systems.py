# SPDX-License-Identifier: Apache-2.0
"""Frames and payloads of every system in numbers, and the stop rule."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.catalogue import by_name
from models.inference import choose_device
from models.profiles import DEFAULT_PROFILE, PROFILES
from models.receiver import accepts, margin
from models.systems import DEFAULT_SYSTEM, SYSTEMS, first_frame, frame_of_round, next_frame

HARQ = PROFILES["resnet18"].harq


@pytest.mark.parametrize(
    ("system", "totals"),
    [
        ("snn-sc-harq", [2080, 2592, 3104, 3616, 4128]),
        ("snn-sc-margin-harq", [2048, 2560, 3072, 3584, 4096]),
        ("snn-sc-learned-harq", [2048, 2560, 3072, 3584, 4096]),
    ],
)
def test_rounds_add_up_to_the_papers_bandwidths(system: str, totals: list[int]) -> None:
    frames = [frame_of_round(SYSTEMS[system], HARQ, round_) for round_ in range(1, 6)]
    assert np.cumsum([frame.bits for frame in frames]).tolist() == totals
    assert [frame.t for frame in frames] == [4, 5, 6, 7, 8]
    assert [frame.round for frame in frames] == [1, 2, 3, 4, 5]
    assert [frame.first_step for frame in frames] == [1, 5, 6, 7, 8]
    assert [frame.position for frame in frames] == [totals[0] - 2080 and 32, 2080, 2592, 3104, 3616]
    assert [frame.carries_prior for frame in frames] == [system == "snn-sc-harq"] + [False] * 4


@pytest.mark.parametrize("t", [4, 5, 6, 7, 8])
def test_fixed_rate_sends_one_frame_without_prior(t: int) -> None:
    frame = first_frame(SYSTEMS["multi-rate"], HARQ, t)
    assert (frame.position, frame.bits, frame.t, frame.steps) == (32, 512 * t, t, t)
    assert not frame.carries_prior
    with pytest.raises(ValueError, match=r"rounds 1\.\.1"):
        frame_of_round(SYSTEMS["multi-rate"], HARQ, 2, t)


@pytest.mark.parametrize(("profile", "bits"), [("resnet18", 131_072), ("resnet50", 524_288)])
def test_bypass_sends_sixteen_bits_an_element(profile: str, bits: int) -> None:
    frame = first_frame(SYSTEMS["bypass"], PROFILES[profile].harq)
    assert (frame.round, frame.t, frame.position, frame.bits) == (1, 0, 0, bits)


@pytest.mark.parametrize("round_", [0, 6, -1])
def test_there_are_five_rounds(round_: int) -> None:
    with pytest.raises(ValueError, match=r"rounds 1\.\.5"):
        frame_of_round(SYSTEMS["snn-sc-harq"], HARQ, round_)


@pytest.mark.parametrize(
    ("system", "t", "fault"),
    [
        ("snn-sc-harq", 4, "takes no t"),
        ("bypass", 4, "takes no t"),
        ("multi-rate", None, "needs t"),
        ("multi-rate", 3, r"4\.\.8"),
        ("multi-rate", 9, r"4\.\.8"),
        ("snn-sc-ldpc-harq", 4, "takes no t"),
        ("cnn-1bit", None, "needs t"),
        ("cnn-1bit", 0, r"1\.\.8"),
        ("cnn-1bit", 9, r"1\.\.8"),
    ],
)
def test_rate_that_does_not_fit_is_refused(system: str, t: int | None, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        first_frame(SYSTEMS[system], HARQ, t)


def test_the_defaults_are_there() -> None:
    assert DEFAULT_PROFILE in PROFILES
    first = first_frame(SYSTEMS[DEFAULT_SYSTEM], HARQ)
    assert next_frame(first) == frame_of_round(SYSTEMS[DEFAULT_SYSTEM], HARQ, 2)


def test_a_name_stands_in_a_catalogue_once() -> None:
    one, other = PROFILES["resnet18"], PROFILES["resnet50"]
    assert by_name(one, other) == {"resnet18": one, "resnet50": other}
    with pytest.raises(ValueError, match="two entries are called resnet50"):
        by_name(one, other, replace(one, name="resnet50"))


def test_score_must_exceed_theta_in_float32() -> None:
    score = np.float32(0.1)
    assert float(score) > 0.1  # in float64 it would be an ACK
    assert not accepts(score, 0.1)
    assert accepts(np.nextafter(score, np.float32(1)), 0.1)
    assert not accepts(np.float32(math.nan), -1.0)


def test_margin_is_between_the_two_largest_probabilities() -> None:
    probabilities = np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
    got = margin(np.log(probabilities).astype(np.float32))
    assert got.dtype == np.float32
    assert got.tolist() == pytest.approx([0.2, 0.7], abs=1e-6)


def test_device_is_chosen_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="sees no CUDA"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"


def test_the_learned_rule_stays_on_the_codec_that_it_was_fitted_to() -> None:
    with pytest.raises(ValueError, match="fitted to codec snn-sc alone"):
        replace(SYSTEMS["snn-sc-learned-harq"], codec=SYSTEMS["cnn-1bit"].codec)
