# SPDX-License-Identifier: Apache-2.0
"""The quick evaluation: a table of systems by BER, as points and as JSON that says what they were made of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from experiments.data import cifar100
from experiments.evaluation.measure import Listener, Plan, measure
from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import TRUTH
from experiments.evaluation.rules import MULTI_RATE, Trial, at_point, by_threshold, harq_rules, payload_bits
from experiments.evaluation.thresholds import LIMIT_BITS, default_threshold
from experiments.evaluation.units import UnitStore
from experiments.training.export import write_manifest
from experiments.training.simnet import spearman
from models.frames import HarqParameters
from models.profiles import PROFILES
from models.systems import SYSTEMS, StopRule
from models.weights import MANIFEST


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate, and on what."""

    spec: Spec
    data: Path
    split: cifar100.Split
    bers: tuple[float, ...]
    seed: int
    images: int | None
    runs: Path
    workers: int = 1


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


def measured(options: EvaluationOptions, listener: Listener) -> dict[float, Outcomes]:
    """The outcomes of a split, or of its first images by id. Raises DataSetMissingError, WeightsError."""
    images = cifar100.load(options.data, options.split).by_id(options.images)
    store = UnitStore(options.runs / "units")
    plan = Plan("snn-sc", options.bers, (options.seed,))
    return measure(options.spec, images, plan, store, options.workers, listener).by_ber


def summarise(by_ber: Mapping[float, Outcomes], thresholds: Mapping[str, float], harq: HarqParameters) -> Evaluation:
    """Every system at its default threshold, multi-rate at every t, and SimNet's error in each (BER, t) cell."""
    rules, steps = harq_rules(harq), range(harq.t0, harq.max_steps + 1)
    points = [
        _point((name, theta, None), outcomes, by_threshold(rules[name], outcomes, theta))
        for name, theta in sorted(thresholds.items())
        if name in rules
        for outcomes in by_ber.values()
    ]
    bits_S = payload_bits(SYSTEMS[MULTI_RATE], harq)
    points += [
        _point((MULTI_RATE, None, t), outcomes, at_point(outcomes, point, bits_S))
        for point, t in enumerate(steps)
        for outcomes in by_ber.values()
    ]
    cells = [_cell(outcomes, point, t) for outcomes in by_ber.values() for point, t in enumerate(steps)]
    direct_N = next(iter(by_ber.values())).direct_correct_N
    return Evaluation(100 * float(np.mean(direct_N)), points, cells)


def may_calibrate(options: EvaluationOptions) -> None:
    """Raises ValueError where thresholds may not be chosen on what is measured."""
    if options.split != "validation" or options.images is not None or options.spec.bf16 or min(options.bers) > 0:
        raise ValueError("thresholds are chosen on the whole validation split in float32, with 0 among the BERs")


def calibrate(options: EvaluationOptions, by_ber: Mapping[float, Outcomes]) -> dict[str, float]:
    """Choose each HARQ system's default threshold on validation and write it into the manifest. Raises ValueError."""
    may_calibrate(options)
    rules = harq_rules(PROFILES[options.spec.profile].harq)
    chosen = {name: default_threshold(rule, by_ber) for name, rule in rules.items()}
    manifest = options.spec.manifest().model_dump()
    manifest["thresholds"] = chosen
    manifest["provenance"]["thresholds"] = {
        "rules": {name: rule.default for name, rule in rules.items()},
        "budget": f"largest theta with at most {LIMIT_BITS:.0f} mean bits at BER 0",
        "gain": "largest mean over BERs and 0.1 of theta: accuracy less bits at what they gain Multi-rate, same limit",
        "data": f"{next(iter(by_ber.values())).images} validation images",
        "bers": list(options.bers),
        "seed": options.seed,
    }
    write_manifest(options.spec.weights / options.spec.profile / MANIFEST, manifest)
    return chosen


def as_json(options: EvaluationOptions, evaluation: Evaluation) -> dict[str, JsonValue]:
    """The evaluation with all that is needed to repeat it."""
    return {
        "profile": options.spec.profile,
        "weights_sha256": options.spec.manifest().weights_sha256,
        "split": options.split,
        "images": evaluation.points[0].images,
        "seed": options.seed,
        "dtype": options.spec.dtype,
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
