# SPDX-License-Identifier: Apache-2.0
"""The ablation of the codec: variants trained alike, measured on the validation images, and compared with the control.

Every variant meets the same images and, seed by seed, the same noise. Its stop rules are compared with Multi-rate of
the variant itself and of the control: the first says what stopping gains, the second what variant and rule gain in all.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from experiments.ablations.bandwidths import (
    MARGIN_RULE,
    PROBABILITY_RULE,
    SHARES,
    Line,
    Measured,
    figure,
    groups,
    line,
    multi_rate,
    spend,
)
from experiments.ablations.trained import Recipe, Trained
from experiments.ablations.variants import CONTROL, SHIPPED, VARIANTS, Variant
from experiments.ablations.wording import ALL
from experiments.data import cifar100
from experiments.evaluation.elsewhere import units_of
from experiments.evaluation.machine import Record, machine
from experiments.evaluation.measure import Listener, Plan, measure
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import WITHOUT_PRIOR
from experiments.evaluation.rules import MULTI_RATE, Rule, compared_rules, payload_bits, rule_of
from experiments.reproduction.resampling import Resampler, Values
from models.profiles import PROFILES, Profile
from models.systems import SYSTEMS


@dataclass(frozen=True)
class Measuring:
    """On what trained variants are measured: validation images, BERs, seeds of the noise."""

    recipe: Recipe
    bers: tuple[float, ...]
    seeds: tuple[int, ...]
    workers: int

    def outcomes(self, spec: Spec, listener: Listener) -> Measured:
        """Raises DataSetMissingError, WeightsError."""
        recipe = self.recipe
        images = cifar100.load(recipe.data, "validation").by_id(recipe.images)
        plan = Plan(WITHOUT_PRIOR, self.bers, self.seeds)
        return measure(spec, images, plan, units_of(recipe.runs), self.workers, listener).by_ber


def measure_variants(
    measuring: Measuring, trained: Mapping[str, Trained], named: Callable[[str], Listener]
) -> dict[str, Measured]:
    """Outcomes by variant, the shipped weights first; ``named`` gives who listens to a variant's measurement."""
    recipe = measuring.recipe
    specs = {SHIPPED: Spec(recipe.profile, recipe.weights, recipe.device)}
    specs |= {name: variant.spec for name, variant in trained.items()}
    return {name: measuring.outcomes(spec, named(name)) for name, spec in specs.items()}


def record(measuring: Measuring, trained: Mapping[str, Trained], measured: Mapping[str, Measured]) -> Record:
    """The ablation as JSON: what was done, Multi-rate by variant, BER and t, gaps by variant, rule, BER and share."""
    recipe, some = measuring.recipe, next(iter(measured[SHIPPED].values()))
    comparison = Comparison(PROFILES[recipe.profile], Resampler(some.images), measured)
    return {
        "ablation": "codec",
        "profile": recipe.profile,
        "weights_sha256": Spec(recipe.profile, recipe.weights).manifest().weights_sha256,
        "split": "validation",
        "images": some.images,
        "training_images": recipe.images,
        "bers": list(measuring.bers),
        "seeds": list(measuring.seeds),
        "schedule": asdict(recipe.schedule),
        "precision": {"training": "bfloat16" if recipe.bf16 else "float32", "measuring": "float32"},
        **machine(recipe.device),
        "variants": [_training(VARIANTS[name], variant) for name, variant in trained.items()],
        "shares": list(SHARES),
        "multi_rate": comparison.multi_rate(),
        "gaps": comparison.gaps(),
    }


def _training(variant: Variant, trained: Trained) -> Record:
    progress, manifest = trained.run.progress, trained.spec.manifest()
    return {
        **asdict(variant),
        "best_epoch": progress.best_epoch,
        "metrics": dict(progress.best),
        "duration_s": round(progress.seconds),
        "weights_sha256": manifest.weights_sha256,
    }


class Comparison:
    """Figures of the variants beside those of the control, with the same resamples of the same images."""

    def __init__(self, profile: Profile, resampler: Resampler, measured: Mapping[str, Measured]) -> None:
        self._profile, self._resampler, self._measured = profile, resampler, measured
        self._bits_S = payload_bits(SYSTEMS[MULTI_RATE], profile.harq)
        self._groups = {name: groups(by_ber) for name, by_ber in measured.items()}

    @property
    def _rules(self) -> list[Rule]:
        harq = self._profile.harq
        return [rule_of(SYSTEMS[MARGIN_RULE], harq), compared_rules(harq)[PROBABILITY_RULE]]

    def multi_rate(self) -> list[Record]:
        """A variant, BER and t each; ``t`` is "all" for the mean over the t's."""
        rows: list[Record] = []
        for name, by_group in self._groups.items():
            for ber, group in by_group.items():
                own, control = (multi_rate(some, self._bits_S) for some in (group, self._groups[CONTROL][ber]))
                own_RT, control_RT = (self._with_mean(self._resampler.figures(*columns)) for columns in (own, control))
                for point, t in enumerate((*self._steps, ALL)):
                    accuracy_R, over_R = 100 * own_RT[:, point], 100 * (own_RT - control_RT)[:, point]
                    found = {"accuracy": figure(accuracy_R), "over_control": figure(over_R)}
                    rows.append({"variant": name, "ber": ber, "t": t, **found})
        return rows

    @property
    def _steps(self) -> range:
        return range(self._profile.t0, self._profile.max_steps + 1)

    @staticmethod
    def _with_mean(values_RT: Values) -> Values:
        return np.concatenate((values_RT, values_RT.mean(axis=1, keepdims=True)), axis=1)

    def gaps(self) -> list[Record]:
        """A variant, rule, BER and share each; ``share`` is "all" for the mean over the shares."""
        rows: list[Record] = []
        for rule in self._rules:
            for ber in self._groups[CONTROL]:
                reference = self._line(CONTROL, ber)
                before = self._cells(CONTROL, rule, ber, reference)
                for name in self._groups:
                    cells = before if name == CONTROL else self._cells(name, rule, ber, reference)
                    key = {"variant": name, "rule": rule.name, "ber": ber}
                    rows += [{**key, **cell.row(control)} for cell, control in zip(cells, before, strict=True)]
        return rows

    def _line(self, name: str, ber: float | str) -> Line:
        return line(self._groups[name][ber], self._bits_S, self._profile.t0, self._resampler)

    def _cells(self, name: str, rule: Rule, ber: float | str, reference: Line) -> "list[_Cell]":
        own = self._line(name, ber)
        cells = [
            _Cell(
                {"share": some.share, "theta": some.theta, "bandwidth_bits": float(some.bits_N.mean())},
                own.gap(some, self._resampler),
                reference.gap(some, self._resampler),
            )
            for some in spend(rule, self._groups[name][ber], self._bits_S)
        ]
        mean_own, mean_control = (np.mean(v, axis=0) for v in ([c.own_R for c in cells], [c.control_R for c in cells]))
        return [*cells, _Cell({"share": ALL}, mean_own, mean_control)]


@dataclass(frozen=True)
class _Cell:
    """A variant's rule at one bandwidth: gaps to its own Multi-rate and to the control's."""

    key: Record
    own_R: Values
    control_R: Values

    def row(self, control: "_Cell") -> Record:
        over = figure(self.control_R - control.control_R)
        return {**self.key, "to_own": figure(self.own_R), "to_control": figure(self.control_R), "over_control": over}
