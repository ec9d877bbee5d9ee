# SPDX-License-Identifier: Apache-2.0
"""What the results page says of its aims follows from the figures, one by one."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.figures.claim import Claim
from experiments.figures.claims import claims
from experiments.figures.results import Results, load_results, one, profiles_in, where
from experiments.figures.summary import summary
from experiments.figures.targets import Target, targets

ROOT = Path(__file__).resolve().parents[1]
SYSTEM = "snn-sc-harq"
MARGIN = "snn-sc-margin-harq"
LDPC = "snn-sc-ldpc-harq"


@pytest.fixture
def results() -> Results:
    """The committed ones, for a test to change."""
    found = load_results(ROOT / "docs" / "results" / "resnet18")
    return replace(found, **{name: copy.deepcopy(getattr(found, name)) for name in ("rates", "similarity", "gaps")})


def set_point(results: Results, system: str, setting: str, ber: float, **values: object) -> None:
    one(results.rates["points"], system=system, setting=setting, ber=ber).update(values)


def lose(results: Results, points: float) -> None:
    for row in results.rates["first_backbone"]["lost"]:
        row["points"] = points


def bandwidths(results: Results, *bits: float) -> None:
    """The same at each threshold and the default, but for a bit more at larger thetas."""
    for step, setting in enumerate(("low", "middle", "high", "default")):
        for ber, value in zip(results.bers, bits, strict=True):
            set_point(results, SYSTEM, setting, ber, bandwidth_bits=value + step)


def spans(results: Results, span: float, pearson: float) -> None:
    for row in results.similarity["correlations"]:
        row |= {"accuracy_span": span, "pearson_estimate": pearson}


def margins(results: Results, at_two: float, at_three: float, low: float) -> None:
    for row in where(results.gaps["cells"], system=MARGIN):
        row |= {"interval_true": [low, 2.0]}
    for ber, gap in ((0.2, at_two), (0.3, at_three)):
        row = one(results.gaps["cells"], system=MARGIN, setting="default", ber=ber)
        row |= {"gap_true": gap}


RISING = (2000, 2100, 2200, 2300, 2400, 2450, 2500)
DIPPING = (2000, 2100, 2025, 2300, 2400, 2450, 2500)
#: A claim, what makes it hold, what makes it fail, and what is then said to be missing.
CASES: dict[str, tuple[str, Callable[[Results], None], Callable[[Results], None], str]] = {
    "loss": (
        "lost by the link",
        lambda r: lose(r, 1.0),
        lambda r: lose(r, 2.25),
        "0.75 points too many at BER 0, 0.25",
    ),
    "backbone": (
        "backbone, test accuracy",
        lambda r: r.rates["first_backbone"].update(accuracy=75.0),
        lambda r: r.rates["first_backbone"].update(accuracy=74.5),
        "0.50 points short",
    ),
    "bandwidth at its ends": (
        "default theta of snn-sc-harq",
        lambda r: bandwidths(r, *RISING),
        lambda r: bandwidths(r, *[2600] * 7),
        "11 bits too many at BER 0, 500 too few more at 0.3",
    ),
    "bandwidth everywhere": (
        "mean bandwidth rises",
        lambda r: bandwidths(r, *RISING),
        lambda r: bandwidths(r, *DIPPING),
        "it falls by up to 75 bits from a BER to the next",
    ),
    "own rule": (
        MARGIN,
        lambda r: margins(r, 0.5, 1.5, 0.0),
        lambda r: margins(r, 0.5, 1.0, 0.0),
        "0.50 points short at BER 0.3",
    ),
    "own rule, cells below": (
        MARGIN,
        lambda r: margins(r, 0.5, 1.5, 0.0),
        lambda r: [row.update(interval_true=[-1.0, -0.1]) for row in where(r.gaps["cells"], system=MARGIN)[:2]],
        "2 cells below",
    ),
    "adapts": (
        "the policy adapts",
        lambda r: set_point(r, SYSTEM, "default", 0.2, share_by_t=[0.9, 0.1, 0.0, 0.0, 0.0]),
        lambda r: set_point(r, SYSTEM, "default", 0.2, share_by_t=[0.95, 0.05, 0.0, 0.0, 0.0]),
        "1 values",
    ),
    "pearson": ("Pearson", lambda r: spans(r, 1.5, 0.96), lambda r: spans(r, 1.5, 0.9), "0.050 short"),
    "ldpc": (
        "LDPC",
        lambda r: set_point(r, "snn-sc-ldpc-harq", "default", 0.15, accuracy=20.0),
        lambda r: set_point(r, "snn-sc-ldpc-harq", "default", 0.15, accuracy=64.24),
        "it loses 10.0 points by then",
    ),
}


def target(results: Results, claim: str) -> Target:
    (found,) = [row for row in targets(results) if claim in row.claim and "Table I" not in row.claim]
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_verdict_follows_its_figure_and_says_what_is_missing(case: str, results: Results) -> None:
    claim, hold, fail, missing = CASES[case]
    hold(results)
    good = target(results, claim)
    assert (good.verdict, good.shortfall) == ("holds", "")
    fail(results)
    bad = target(results, claim)
    assert bad.verdict == "does not hold"
    assert missing in bad.shortfall


def test_where_accuracy_hardly_moves_pearson_is_not_decided(results: Results) -> None:
    spans(results, 0.9, 0.2)
    assert (target(results, "Pearson").verdict, target(results, "Pearson").shortfall) == ("not decided here", "")


@pytest.mark.parametrize("profile", [folder.name for folder in profiles_in(ROOT / "docs" / "results")])
def test_what_was_tried_can_be_read_and_is_about_the_profile(profile: str) -> None:
    missed = [row for row in targets(load_results(ROOT / "docs" / "results" / profile)) if row.holds is False]
    assert missed
    for row in missed:
        assert row.tried, row.claim
        for name in row.tried:
            said = (ROOT / "docs" / "decisions" / f"{name}.md").read_text()
            assert re.search(rf"{profile}(?!-t1)", said), (row.claim, name)


def test_of_a_profile_that_nobody_knows_only_figures_are_said(results: Results) -> None:
    """One's own, as docs/extend.md has it."""
    lose(results, 2.25)
    mine = replace(results, profile="plain", ablated=False)
    assert target(mine, "lost by the link").shortfall.endswith(
        "points too many at BER 0, 0.25 points too many at BER 0.1"
    )
    backbone = target(mine, "backbone, test accuracy")
    assert (backbone.aim, backbone.verdict) == ("", "not decided here")
    assert of_claim(mine, "the backbone alone").why == "another backbone than the paper's ResNet50"
    assert "ablations" not in of_claim(mine, "superior to adjusting").why
    assert "ablations" in of_claim(results, "superior to adjusting").why


def test_baselines_that_were_trained_otherwise_are_compared_with_that_said() -> None:
    results = load_results(ROOT / "docs" / "results" / "resnet50")
    for claim in ("spikes are more robust", "separate coding is best"):
        assert "the spiking codec alone learned from ever fresh images" in of_claim(results, claim).why


def test_the_paper_s_claim_of_bandwidth_agrees_with_the_aim(results: Results) -> None:
    """One asks for more than the ends, and so does the other."""

    def difference() -> str:
        return next(row.difference for row in claims(results) if row.claim.startswith("bandwidth rises"))

    bandwidths(results, *RISING)
    assert difference() == "none"
    bandwidths(results, *DIPPING)
    assert difference() == "falls by up to 75 bits between BERs; none with theta"


def test_the_summary_says_what_the_intervals_say(results: Results) -> None:
    rule, oracle = (one(results.gaps["means"], system=name) for name in (SYSTEM, "oracle-similarity"))
    rule |= {"gap_paper": 0.3, "interval_paper": [0.1, 0.5]}
    oracle |= {"interval_true": [0.1, 0.9]}
    said = " ".join(summary(results))
    assert "similarity gains against a fixed rate" in said
    assert "a better estimate would gain" in said
    rule |= {"interval_paper": [-0.5, -0.1]}
    oracle |= {"interval_true": [-0.1, 0.9]}
    said = " ".join(summary(results))
    assert "similarity loses against a fixed rate" in said
    assert "would not mend that" in said


def of_claim(results: Results, begin: str) -> Claim:
    (found,) = [row for row in claims(results) if row.claim.startswith(begin)]
    return found


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        (([-1.0, 0.5], [-1.0, 0.5]), "not told apart from Multi-rate at equal bits below BER 0.1"),
        (([0.1, 0.5], [0.2, 0.5]), "ahead of Multi-rate"),
        (([-0.9, -0.5], [-0.9, -0.5]), "behind Multi-rate"),
        (([-0.9, -0.5], [0.1, 0.5]), "ahead in 1 and behind in 1 of 2 BERs of Multi-rate"),
    ],
)
def test_separate_coding_is_compared_at_equal_bits(
    results: Results, intervals: tuple[list[float], list[float]], said: str
) -> None:
    for ber, interval in zip((0.0, 0.05), intervals, strict=True):
        one(results.gaps["baselines"], system=LDPC, ber=ber).update(interval_true=interval)
    set_point(results, LDPC, "default", 0.0, accuracy=80.0)
    set_point(results, LDPC, "default", 0.15, accuracy=70.0)
    row = of_claim(results, "separate coding is best")
    assert row.difference.startswith(said)
    assert "loses 10.0 at 0.15" in row.difference
    assert "1-bit CNN" not in row.why, "it has less than 80 %"
    set_point(results, LDPC, "default", 0.0, accuracy=70.0, bandwidth_bits=2080)
    assert "has more at no more bits" in of_claim(results, "separate coding is best").why
    set_point(results, LDPC, "default", 0.0, bandwidth_bits=500)
    assert "has more at no more bits" not in of_claim(results, "separate coding is best").why, "none has so few"


def ldpc_at(results: Results, *bers: float) -> None:
    for rows in (results.gaps["baselines"], results.rates["points"]):
        rows[:] = [row for row in rows if row["system"] != LDPC or row["ber"] in bers]


def test_where_separate_coding_was_not_measured_the_row_does_not_judge(results: Results) -> None:
    """``reproduce --ldpc-bers``."""
    ldpc_at(results, 0.1, 0.2, 0.3)
    row = of_claim(results, "separate coding is best")
    assert row.difference.startswith("not compared below BER 0.1; from BER 0.1 it loses")
    assert "1-bit CNN" not in row.why
    ldpc_at(results, 0.1)
    row = of_claim(results, "separate coding is best")
    assert row.difference == "not compared below BER 0.1; not measured above BER 0.1"
    assert not [row for row in claims(results) if row.claim.startswith("separate coding's bandwidth")]


def test_separate_codings_bandwidth_is_at_its_limit_or_short_of_it(results: Results) -> None:
    set_point(results, LDPC, "default", 0.15, bandwidth_bits=4128.0)
    assert of_claim(results, "separate coding's bandwidth").difference == "none"
    set_point(results, LDPC, "default", 0.15, bandwidth_bits=4000.0)
    assert of_claim(results, "separate coding's bandwidth").difference == "128 bits below the limit at BER 0.15"


@pytest.mark.parametrize(
    ("interval", "said"), [([0.1, 0.9], "ahead of"), ([-0.9, -0.1], "behind"), ([-0.1, 0.9], "not told apart from")]
)
def test_a_codec_without_spikes_is_compared_where_the_channel_is_worst(
    results: Results, interval: list[float], said: str
) -> None:
    one(results.gaps["baselines"], system="cnn-1bit", setting="t=4", ber=0.3).update(interval_true=interval)
    assert f"is {said} the spiking one" in of_claim(results, "spikes are more robust").difference


def test_without_baselines_nothing_is_said_of_them(results: Results) -> None:
    for rows in (results.gaps["baselines"], results.rates["points"]):
        rows[:] = [row for row in rows if row["system"] not in (LDPC, "cnn-1bit")]
    assert not [row for row in claims(results) if "separate" in row.claim or "spikes" in row.claim]
