# SPDX-License-Identifier: Apache-2.0
"""The quick evaluation: a table of systems by BER, as points and as JSON that says what they were made of."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from experiments.data import cifar100
from experiments.evaluation.elsewhere import measured_elsewhere, units_of
from experiments.evaluation.learned_rule import with_learned_scores
from experiments.evaluation.machine import Record, command, machine
from experiments.evaluation.measure import Listener, Plan, measure
from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import TRUTH, obstacle, pass_of
from experiments.evaluation.rules import MULTI_RATE, Trial, at_point, by_threshold, fixed_rates, payload_bits, rule_of
from experiments.evaluation.thresholds import LIMIT_BITS, default_threshold
from experiments.evaluation.units import UnitStore
from experiments.training.export import write_manifest
from experiments.training.simnet import spearman
from models.frames import HarqParameters
from models.profiles import PROFILES
from models.systems import SYSTEMS, StopRule
from models.weights import A_THRESHOLD, MANIFEST, lacks

#: Outcomes by pass and BER.
Measured = Mapping[str, Mapping[float, Outcomes]]
#: The pass of the paper's codec, which is always measured.
_PAPER: Final = pass_of(SYSTEMS[MULTI_RATE])
_CHOOSE: Final = ", which spikelink evaluate --split validation --calibrate chooses"


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate, and on what; ``elsewhere`` are the runs of another machine that measured it."""

    spec: Spec
    data: Path
    split: cifar100.Split
    bers: tuple[float, ...]
    seed: int
    images: int | None
    runs: Path
    workers: int = 1
    elsewhere: Path | None = None

    def measuring(self) -> tuple[Spec, UnitStore]:
        """What measures, and where its units lie. Raises ValueError."""
        if self.elsewhere is None:
            return self.spec, units_of(self.runs)
        return measured_elsewhere(self.spec, self.elsewhere)[:2]

    def machine(self) -> Record:
        """Of the machine that measures. Raises ValueError."""
        if self.elsewhere is None:
            return machine(self.spec.device)
        return measured_elsewhere(self.spec, self.elsewhere)[2]


@dataclass(frozen=True)
class Point:
    """A system at one BER: accuracy in percent with the half width of its 95 % interval, mean bandwidth in bits."""

    system: str
    ber: float
    theta: float | None
    t: int | None
    images: int
    accuracy: float
    half_width: float
    bandwidth_bits: float
    mean_rounds: float
    share_by_t: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """Points by system and BER, SimNet's error by BER and t, and the backbone's accuracy in percent without a link."""

    backbone_accuracy: float
    points: list[Point]
    cells: list[dict[str, float]]


def left_out(options: EvaluationOptions, calibrating: bool) -> dict[str, str]:
    """The systems with a threshold that are not measured, and why, by name. Raises WeightsError."""
    manifest, reasons = options.spec.manifest(), dict[str, str]()
    for name, system in SYSTEMS.items():
        missing = [part for part in lacks(system, manifest) if not (calibrating and part == A_THRESHOLD)]
        lacking = f"profile {manifest.profile} lacks {', '.join(missing)}" + (
            _CHOOSE if missing == [A_THRESHOLD] else ""
        )
        reason = obstacle(system) or (lacking if missing else None)
        if system.takes_threshold and reason is not None:
            reasons[name] = reason
    return reasons


def measured(options: EvaluationOptions, without: Collection[str], listener: Listener) -> Measured:
    """The outcomes of a split, or of its first images by id, on the codec of every system with a threshold.

    ``without`` names systems to leave out. Raises DataSetMissingError, WeightsError, WorkerDiedError, and ValueError
    where what another machine measured is not there.
    """
    images = cifar100.load(options.data, options.split).by_id(options.images)
    (spec, store), found = options.measuring(), dict[str, Mapping[float, Outcomes]]()
    systems = [system for name, system in SYSTEMS.items() if system.takes_threshold and name not in without]
    for name in dict.fromkeys((_PAPER, *(pass_of(system) for system in systems))):
        plan = Plan(name, options.bers, (options.seed,))
        by_ber = measure(spec, images, plan, store, options.workers, listener).by_ber
        found[name] = with_learned_scores(options.spec, name, by_ber)
    return found


def summarise(by_pass: Measured, thresholds: Mapping[str, float], harq: HarqParameters) -> Evaluation:
    """Every system at its threshold, fixed rates on the same codecs at every t, SimNet's error by BER and t."""
    shown = [system for system in SYSTEMS.values() if obstacle(system) is None and pass_of(system) in by_pass]
    points = [
        _point((system.name, theta, None), outcomes, by_threshold(rule_of(system, harq), outcomes, theta))
        for system in sorted(shown, key=lambda system: system.name)
        if (theta := thresholds.get(system.name)) is not None
        for outcomes in by_pass[pass_of(system)].values()
        if str(system.stop) in outcomes.scores
    ]
    points += [
        _point((system.name, None, t), outcomes, at_point(outcomes, point, payload_bits(system, harq)))
        for system in shown
        if system.takes_t
        for point, t in enumerate(fixed_rates(system, harq))
        for outcomes in by_pass[pass_of(system)].values()
    ]
    paper = by_pass[_PAPER].values()
    cells = [_cell(outcomes, point, harq.t0 + point) for outcomes in paper for point in range(outcomes.points)]
    return Evaluation(100 * float(np.mean(next(iter(paper)).direct_correct_N)), points, cells)


def may_calibrate(options: EvaluationOptions) -> None:
    """Raises ValueError where thresholds may not be chosen on what is measured."""
    if options.split != "validation" or options.images is not None or options.spec.bf16 or min(options.bers) > 0:
        raise ValueError("thresholds are chosen on the whole validation split in float32, with 0 among the BERs")


def calibrate(options: EvaluationOptions, without: Collection[str], by_pass: Measured) -> list[str]:
    """Choose each system's default threshold on validation and write them into the manifest.

    ``without`` names systems to leave out. Another for which none can be chosen keeps what it has; the reason is
    returned, a line each. Raises ValueError where none is chosen at all.
    """
    may_calibrate(options)
    harq, chosen, refused = PROFILES[options.spec.profile].harq, dict[str, float](), list[str]()
    systems = [system for name, system in SYSTEMS.items() if system.takes_threshold and name not in without]
    rules = {system.name: rule_of(system, harq) for system in systems}
    for name, rule in rules.items():
        try:
            chosen[name] = default_threshold(rule, by_pass[pass_of(SYSTEMS[name])])
        except ValueError as error:
            refused.append(str(error))
    if not chosen:
        raise ValueError("; ".join(refused) or "no system has a threshold to choose")
    manifest = options.spec.manifest().model_dump()
    manifest["thresholds"] |= chosen
    manifest["provenance"]["thresholds"] = {
        "rules": {name: rules[name].default for name in chosen},
        "budget": f"largest theta with at most {LIMIT_BITS:.0f} mean bits at BER 0",
        "gain": "largest mean over BERs and 0.1 of theta: accuracy less bits at what a fixed rate pays, same limit",
        "data": f"{next(iter(by_pass[_PAPER].values())).images} validation images",
        "bers": list(options.bers),
        "seed": options.seed,
    }
    write_manifest(options.spec.weights / options.spec.profile / MANIFEST, manifest)
    return refused


def as_json(options: EvaluationOptions, evaluation: Evaluation) -> Record:
    """The evaluation with all that is needed to repeat it; the machine is the one that measured. Raises ValueError."""
    return {
        "profile": options.spec.profile,
        "weights_sha256": options.spec.manifest().weights_sha256,
        "split": options.split,
        "images": evaluation.points[0].images,
        "seed": options.seed,
        "dtype": options.spec.dtype,
        **options.machine(),
        "command": command(),
        "backbone_accuracy": evaluation.backbone_accuracy,
        "points": [{**asdict(point), "share_by_t": list(point.share_by_t)} for point in evaluation.points],
        "simnet_cells": [dict(cell) for cell in evaluation.cells],
    }


def _point(key: tuple[str, float | None, int | None], outcomes: Outcomes, trial: Trial) -> Point:
    name, theta, t = key
    rounds = 1.0 if t is not None else trial.mean_rounds
    figures = (trial.accuracy, trial.half_width, trial.bandwidth_bits, rounds, trial.share_S)
    return Point(name, outcomes.ber, theta, t, outcomes.images, *figures)


def _cell(outcomes: Outcomes, point: int, t: int) -> dict[str, float]:
    estimate, truth = (outcomes.scores[name][0, :, point] for name in (StopRule.SIMILARITY, TRUTH))
    return {
        "ber": outcomes.ber,
        "t": float(t),
        "mean_estimate": float(estimate.mean()),
        "mean_similarity": float(truth.mean()),
        "rmse": float(np.sqrt(((estimate - truth) ** 2).mean())),
        "spearman": spearman(torch.from_numpy(estimate), torch.from_numpy(truth)),
    }
