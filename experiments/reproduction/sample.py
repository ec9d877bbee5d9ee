# SPDX-License-Identifier: Apache-2.0
"""A small evaluation that any machine can repeat in a minute: the figures that continuous integration compares with.

Two sets: the 500 test images of CIFAR-100 with the smallest ids (an id is a hash of pixels, so they were drawn before
any training; 200 where the backbone is resnet50), and 24 made-up images, for machines without the data set. The
baselines that a profile has meet the first 100 at one BER.

Tolerance    Floating point differs between processors in the last bits, a neuron at its threshold then fires or not,
             and an image at the edge of two labels or of theta changes sides. Measured between tiles: about one neuron
             in two images, logits off by 0.014 (docs/decisions/0002). Counts of images may differ by 1 % of the set (at
             least one image), mean scores by 0.002; other weights, noise or rules are off by much more, which a test
             shows.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.nn.functional import interpolate

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.learned_rule import with_learned_scores
from experiments.evaluation.machine import Record
from experiments.evaluation.measure import Listener, Plan, measure
from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import pass_of
from experiments.evaluation.rules import by_threshold, harq_rules
from experiments.evaluation.units import UnitStore
from models.codecs import Steps
from models.networks.backbone import RESNET50
from models.profiles import PROFILES
from models.systems import SYSTEMS, StopRule
from models.weights import available_systems

BERS: Final = (0.0, 0.1, 0.3)
SEED: Final = 0
TEST_IMAGES: Final = 500
#: A resnet50 computes several times as long: of its images the tests take less.
RESNET50_TEST_IMAGES: Final = 200
MADE_UP_IMAGES: Final = 24
#: A baseline shows other weights, or another decoder, with few images.
BASELINES: Final = ("cnn-1bit", "snn-sc-ldpc-harq")
BASELINE_BER: Final = 0.1
BASELINE_IMAGES: Final = 100
COUNT_TOLERANCE: Final = 0.01
SCORE_TOLERANCE: Final = 0.002


def real_images(profile: str) -> int:
    """How many images of the test set a profile's sample has."""
    return RESNET50_TEST_IMAGES if PROFILES[profile].backbone == RESNET50 else TEST_IMAGES


def made_up_images() -> LabelledImages:
    """Coloured clouds from a seeded generator, labelled 0, 1, 2, ...: nobody's pictures."""
    coarse = np.random.default_rng(0).uniform(0, 255, (MADE_UP_IMAGES, 3, 5, 5))
    clouds = interpolate(torch.from_numpy(coarse), size=32, mode="bilinear", align_corners=False)
    return LabelledImages(clouds.numpy().round().astype(np.uint8), np.arange(MADE_UP_IMAGES, dtype=np.int64))


@dataclass(frozen=True)
class Sampler:
    """Evaluates a profile's weights on one of the sets."""

    spec: Spec
    store: UnitStore
    workers: int
    listener: Listener

    def figures(self, images: LabelledImages) -> Record:
        """How many are right at each (BER, t), the mean of each score there, and each system at its default theta."""
        plan = Plan("snn-sc", BERS, (SEED,))
        found = measure(self.spec, images, plan, self.store, self.workers, self.listener).by_ber
        measured = with_learned_scores(self.spec, plan.pass_name, found)
        scores, thresholds = measured[BERS[0]].scores, self.spec.manifest().thresholds
        rules = harq_rules(PROFILES[self.spec.profile].harq, scores)
        harq = []
        for name, rule in rules.items():
            for ber, outcomes in measured.items():
                trial = by_threshold(rule, outcomes, thresholds[name])
                ended = [round(share * len(images)) for share in trial.share_S]
                harq.append({"system": name, "ber": ber, "right": int(trial.correct_N.sum()), "ended_by_t": ended})
        t0 = PROFILES[self.spec.profile].t0
        cells = [_cell(outcomes, point, t0) for outcomes in measured.values() for point in range(outcomes.points)]
        return {"images": len(images), "cells": cells, "harq": harq, "baselines": self._baselines(images)}

    def _baselines(self, images: LabelledImages) -> list[Record]:
        """Each baseline after each frame, like the cells; where a CRC decides, for how many it has held by then."""
        rows: list[Record] = []
        for name in [name for name in available_systems(self.spec.manifest()) if name in BASELINES]:
            plan = Plan(pass_of(SYSTEMS[name]), (BASELINE_BER,), (SEED,))
            few = images.by_id(min(BASELINE_IMAGES, len(images)))
            found = measure(self.spec, few, plan, self.store, self.workers, self.listener).by_ber[BASELINE_BER]
            rate = SYSTEMS[name].codec.rate
            assert isinstance(rate, Steps), f"{name} has steps"
            first, _ = rate.range(PROFILES[self.spec.profile].harq)
            rows += [{"system": name, **_cell(found, point, first)} for point in range(found.points)]
        return rows


def sample(spec: Spec, store: UnitStore, test: LabelledImages | None, listener: Listener) -> Record:
    """Both sets, with the weights that they belong to; the test images only where there are any."""
    sampler = Sampler(spec, store, 1, listener)
    figures: Record = {"weights_sha256": spec.manifest().weights_sha256, "seed": SEED}
    figures["made_up"] = sampler.figures(made_up_images())
    if test is not None:
        figures["test"] = sampler.figures(test.by_id(real_images(spec.profile)))
    return figures


def differences(found: Record, committed: Record) -> list[str]:
    """What differs by more than the tolerance between two ``figures``, in words; empty where they agree."""
    images = int(str(committed["images"]))
    few = max(1, math.ceil(COUNT_TOLERANCE * images))
    said: list[str] = [] if found["images"] == images else [f"{found['images']} images instead of {images}"]
    for table in ("cells", "harq", "baselines"):
        ours, theirs = _rows(found, table), _rows(committed, table)
        if ours.keys() != theirs.keys():
            return [*said, f"{table} has other rows"]
        for key, row in theirs.items():
            for name, expected in row.items():
                allowed = SCORE_TOLERANCE if name.startswith("mean_") else few
                apart = np.abs(np.subtract(ours[key][name], expected)).max()
                said += [f"{table} {key}: {name} off by {apart:.4g}"] if apart > allowed else []
    return said


def _rows(figures: Record, table: str) -> dict[str, dict[str, float]]:
    rows = figures[table]
    if not isinstance(rows, list):
        raise TypeError(f"{table} is a list of rows")
    keys = ("system", "ber", "t")
    return {
        " ".join(f"{name} {row[name]}" for name in keys if name in row): {k: v for k, v in row.items() if k not in keys}
        for row in rows
    }


def _cell(outcomes: Outcomes, point: int, t0: int) -> Record:
    scores = {name: score[0, :, point] for name, score in outcomes.scores.items()}
    accepted = {"accepted": int(scores.pop(StopRule.CRC).sum())} if StopRule.CRC in scores else {}
    means = {f"mean_{name}": float(score.mean()) for name, score in scores.items()}
    right = int(outcomes.correct_ANS[0, :, point].sum())
    return {"ber": outcomes.ber, "t": t0 + point, "right": right, **accepted, **means}
