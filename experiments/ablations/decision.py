# SPDX-License-Identifier: Apache-2.0
"""The ablation of the decision: a learned stop rule on more and more inputs, beside the rules that there are.

Learned and judged on the validation images, which the backbone has not memorised, by cross-fitting. A rule that needs K
pays its 32 bits. All rules are compared with Multi-rate at equal mean bandwidth, and with the margin rule's gap there.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from experiments.ablations.bandwidths import (
    MARGIN_RULE,
    PROBABILITY_RULE,
    SHARES,
    Measured,
    figure,
    groups,
    line,
    spend,
)
from experiments.ablations.crossfit import Predicted, out_of_fold
from experiments.ablations.inputs import ESTIMATE, MARGIN, NEED_PRIOR, K, P, T, inputs, priors
from experiments.ablations.scorer import CHANGE, NET, SCORES
from experiments.ablations.wording import ALL
from experiments.data import cifar100
from experiments.evaluation.elsewhere import units_of
from experiments.evaluation.machine import Record, machine
from experiments.evaluation.measure import Listener, Plan, measure
from experiments.evaluation.outcomes import Floats, Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import PROBABILITY
from experiments.evaluation.rules import MULTI_RATE, Rule, compared_rules, harq_rules, payload_bits
from experiments.reproduction.decisions import area
from experiments.reproduction.resampling import Resampler, Values
from experiments.training.outlook import Fitting
from models.codecs import SNN_SC
from models.profiles import PROFILES
from models.systems import SYSTEMS, StopRule
from models.threads import one_thread


@dataclass(frozen=True)
class Learned:
    """A learned rule: what it looks at, which score it makes of its prediction, and the rule that it extends."""

    inputs: tuple[str, ...]
    extends: str
    score: str = CHANGE


_PLAIN: Final = "learned: margin, p, t"
LEARNED: Final[Mapping[str, Learned]] = {
    "learned: margin": Learned((MARGIN,), MARGIN_RULE),
    _PLAIN: Learned((MARGIN, P, T), "learned: margin"),
    f"{_PLAIN}, estimate": Learned((MARGIN, P, T, ESTIMATE), _PLAIN),
    f"{_PLAIN}, K": Learned((MARGIN, P, T, K), _PLAIN),
    "learned: everything": Learned((MARGIN, PROBABILITY, P, T, ESTIMATE, K), _PLAIN),
    f"{_PLAIN}; gains less losses": Learned((MARGIN, P, T), _PLAIN, NET),
}


@dataclass(frozen=True)
class Options:
    """What is learned and judged on; ``images``: only so many, the first by id."""

    spec: Spec
    data: Path
    runs: Path
    bers: tuple[float, ...]
    seeds: tuple[int, ...]
    workers: int
    folds: int
    fitting: Fitting
    images: int | None = None

    @property
    def plan(self) -> Plan:
        return Plan(SNN_SC.name, self.bers, self.seeds)


def ablate_decision(options: Options, listener: Listener) -> Record:
    """Measure what is not measured, cross-fit, compare -> the ablation as JSON.

    Raises DataSetMissingError, WeightsError, and ValueError where there are too few images for the folds.
    """
    profile, plan = PROFILES[options.spec.profile], options.plan
    images = cifar100.load(options.data, "validation").by_id(options.images)
    measured = measure(options.spec, images, plan, units_of(options.runs), options.workers, listener).by_ber
    folder = options.runs / options.spec.profile / "ablations"
    with one_thread():
        sent = priors(options.spec, images, folder)
        known = {
            ber: inputs(outcomes, sent.received(ber, plan.seeds_at(ber)), profile) for ber, outcomes in measured.items()
        }
        wanted = dict.fromkeys(rule.inputs for rule in LEARNED.values())
        predicted = {columns: _predicted(options, columns, measured, known, listener) for columns in wanted}
    comparison = Comparison(options, with_scores(measured, predicted))
    return {
        "ablation": "decision",
        "profile": profile.name,
        "weights_sha256": options.spec.manifest().weights_sha256,
        "split": "validation",
        "images": len(images),
        "bers": list(options.bers),
        "seeds": list(options.seeds),
        "folds": options.folds,
        "fitting": asdict(options.fitting),
        "precision": options.spec.dtype,
        **machine(options.spec.device),
        "learned": [
            {"rule": name, **asdict(rule), "inputs": list(rule.inputs), "loss": predicted[rule.inputs].loss}
            for name, rule in LEARNED.items()
        ],
        "shares": list(SHARES),
        "gaps": comparison.gaps(),
        "areas": comparison.areas(),
    }


def _predicted(
    options: Options,
    columns: tuple[str, ...],
    measured: Measured,
    known: Mapping[float, Mapping[str, Floats]],
    listener: Listener,
) -> Predicted:
    cells = {
        ber: (outcomes, np.concatenate([known[ber][column] for column in columns], axis=-1))
        for ber, outcomes in measured.items()
    }
    listener.begin(f"learning from {', '.join(columns)}", next(iter(measured.values())).images)
    return out_of_fold(cells, options.folds, options.fitting, lambda count: listener.advance(count, computed=True))


def with_scores(measured: Measured, predicted: Mapping[tuple[str, ...], Predicted]) -> dict[float, Outcomes]:
    """The outcomes with the learned scores among the others, each by the name of its rule."""

    def scores(ber: float) -> dict[str, Floats]:
        return {name: SCORES[rule.score](predicted[rule.inputs].fates[ber]) for name, rule in LEARNED.items()}

    return {ber: replace(outcomes, scores={**outcomes.scores, **scores(ber)}) for ber, outcomes in measured.items()}


class Comparison:
    """Rules that exist and learned ones over the same images, noise and resamples."""

    def __init__(self, options: Options, measured: Measured) -> None:
        self._profile, self._measured = PROFILES[options.spec.profile], measured
        self._resampler = Resampler(next(iter(measured.values())).images)
        self._bits_S = payload_bits(SYSTEMS[MULTI_RATE], self._profile.harq)

    @property
    def rules(self) -> list[Rule]:
        """Those that exist, the margin rule first, and the learned ones, whose scores have their names."""
        harq = self._profile.harq
        known = [
            *harq_rules(harq, (StopRule.SIMILARITY, StopRule.MARGIN)).values(),
            compared_rules(harq)[PROBABILITY_RULE],
        ]
        with_prior = payload_bits(SYSTEMS["snn-sc-harq"], harq)
        learned = [
            Rule(name, name, with_prior if NEED_PRIOR & set(some.inputs) else self._bits_S)
            for name, some in LEARNED.items()
        ]
        return sorted(known, key=lambda rule: rule.name != MARGIN_RULE) + learned

    def gaps(self) -> list[Record]:
        """A rule, BER and share each; ``share`` is "all" for the mean over the shares."""
        rows: list[Record] = []
        for ber, group in groups(self._measured).items():
            found = {rule.name: self._cells(rule, group) for rule in self.rules}
            for name, cells in found.items():
                others = (found[MARGIN_RULE], found[LEARNED[name].extends if name in LEARNED else MARGIN_RULE])
                for (key, gap_R), (_, margin_R), (_, fewer_R) in zip(cells, *others, strict=True):
                    over = {"over_margin": figure(gap_R - margin_R), "over_fewer": figure(gap_R - fewer_R)}
                    rows.append({"rule": name, "ber": ber, **key, "gap": figure(gap_R), **over})
        return rows

    def _cells(self, rule: Rule, group: Measured) -> list[tuple[Record, Values]]:
        fixed = line(group, self._bits_S, self._profile.t0, self._resampler)
        cells: list[tuple[Record, Values]] = []
        for some in spend(rule, group, self._bits_S):
            key: Record = {"share": some.share, "theta": some.theta, "bandwidth_bits": float(some.bits_N.mean())}
            cells.append((key, fixed.gap(some, self._resampler)))
        return [*cells, ({"share": ALL}, np.mean([gap_R for _, gap_R in cells], axis=0))]

    def areas(self) -> list[Record]:
        """ROC areas at t0: of a low score as a sign that a wrong label will be right at T, of a high one that it is."""
        rows: list[Record] = []
        for rule in self.rules:
            for ber, outcomes in self._measured.items():
                now, end = (outcomes.correct_ANS[..., point].ravel() for point in (0, -1))
                score = outcomes.scores[rule.score][..., 0].ravel()
                found = {"helped": area(-score, ~now & end), "right": area(score, now)}
                rows.append({"rule": rule.name, "ber": ber, **found})
        return rows
