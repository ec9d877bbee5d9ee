# SPDX-License-Identifier: Apache-2.0
"""The learned stop rule on measured outcomes: its score of each image at each point, and how its network is fitted.

A pass notes margin, p and t of every point, and the network needs no more: all that was measured before it was trained
serves it, too.
"""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from experiments.data import cifar100
from experiments.evaluation.measure import Listener, Plan, measure
from experiments.evaluation.outcomes import Bools, Floats, Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import frames_of, pass_of, sender_of
from experiments.evaluation.units import UnitStore
from experiments.training.export import Destination, export_parts, round_as_stored
from experiments.training.outlook import Fitting, fit, loss, rows_of
from models.frames import HarqParameters
from models.networks.outlook import Outlook, outlook, seen
from models.profiles import PROFILES
from models.systems import SYSTEMS, StopRule
from models.threads import one_thread
from models.weights import load_part

PART: Final = str(StopRule.OUTLOOK)
#: One image of so many chooses the epoch and is not learned from.
_FOLDS: Final = 5
#: How many noise seeds, from the lesson's on.
_SEEDS: Final = 2


@dataclass(frozen=True)
class Lesson:
    """What a rule is learned from: the validation images at these BERs, ``seed`` and the next.

    ``spec`` and ``store`` are those of the machine that measures, or has measured.
    """

    spec: Spec
    store: UnitStore
    data: Path
    bers: tuple[float, ...]
    seed: int = 0
    workers: int = 1


def with_learned_scores(spec: Spec, pass_name: str, by_ber: Mapping[float, Outcomes]) -> Mapping[float, Outcomes]:
    """The outcomes with the learned rule's score among the others, where the profile has one on the pass's codec."""
    served = {pass_of(system) for system in SYSTEMS.values() if system.stop is StopRule.OUTLOOK}
    parts = spec.manifest().parts
    if pass_name not in served or PART not in parts:
        return by_ber
    network = Outlook()
    load_part(network, PART, spec.profile, parts, spec.weights)
    harq = PROFILES[spec.profile].harq

    def scored(outcomes: Outcomes) -> Outcomes:
        score_ANS = outlook(network, _seen(outcomes, pass_name, harq)).numpy()
        return replace(outcomes, scores={**outcomes.scores, PART: score_ANS})

    with one_thread():
        return {ber: scored(outcomes) for ber, outcomes in by_ber.items()}


def _seen(outcomes: Outcomes, pass_name: str, harq: HarqParameters) -> torch.Tensor:
    """x_ANSF of all points."""
    margin_ANS = torch.from_numpy(outcomes.scores[StopRule.MARGIN])
    t_S = torch.tensor([float(frame.t) for frame in frames_of(sender_of(pass_name), harq)])
    # As a cloud has it: p is a float32 there.
    return seen(margin_ANS, torch.full_like(margin_ANS, outcomes.ber), t_S.expand_as(margin_ANS))


def learn_rule(lesson: Lesson, listener: Listener) -> float:
    """Fit the network and write it into the profile's weights -> its loss on the images that chose its epoch.

    Raises DataSetMissingError, WeightsError, DivergedError, and ValueError where a read-only store lacks units.
    """
    spec, pass_name = lesson.spec, pass_of(SYSTEMS["snn-sc-learned-harq"])
    images = cifar100.load(lesson.data, "validation").by_id()
    plan = Plan(pass_name, lesson.bers, tuple(range(lesson.seed, lesson.seed + _SEEDS)))
    found = measure(spec, images, plan, lesson.store, lesson.workers, listener).by_ber
    harq, fitting = PROFILES[spec.profile].harq, Fitting()
    seen_by_ber = {ber: _seen(outcomes, pass_name, harq).numpy() for ber, outcomes in found.items()}

    def of(chosen_N: Bools) -> list[tuple[Bools, Floats]]:
        return [(found[ber].correct_ANS[:, chosen_N], x_ANSF[:, chosen_N]) for ber, x_ANSF in seen_by_ber.items()]

    # Images stand in the order of their ids, which are hashes.
    choosing_N = np.arange(len(images)) % _FOLDS == 0
    with one_thread():
        others = rows_of(of(choosing_N))
        network = fit(rows_of(of(~choosing_N)), others, fitting)
        round_as_stored(network)
        with torch.inference_mode():
            held_out = float(loss(network, others))
    entry = {
        "command": shlex.join(["spikelink", *sys.argv[1:]]),
        "data": f"{len(images)} validation images, one of {_FOLDS} to choose the epoch",
        "bers": list(lesson.bers),
        "seeds": list(plan.seeds),
        "fitting": asdict(fitting),
        "metrics": {"loss": held_out},
        "torch": torch.__version__,
    }
    export_parts({PART: network}, Destination(spec.weights, spec.profile, PART), entry)
    return held_out
