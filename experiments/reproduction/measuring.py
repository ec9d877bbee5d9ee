# SPDX-License-Identifier: Apache-2.0
"""The passes that all figures are made of: what is measured, on this machine or on another."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from experiments.data import cifar100
from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.elsewhere import MEASURED_ON, measured_elsewhere, units_of
from experiments.evaluation.learned_rule import with_learned_scores
from experiments.evaluation.machine import Record, machine
from experiments.evaluation.measure import Listener, Plan, measure
from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import pass_of
from experiments.evaluation.units import UnitStore
from experiments.json_files import write_json
from experiments.reproduction.provenance import Passed
from models.codecs import SNN_SC
from models.systems import SYSTEMS, StopRule
from models.weights import WeightsError, lacks

#: What thresholds are chosen with: the images, not the noise, set how well they are known.
_VALIDATION_SEEDS: Final = 2


@dataclass(frozen=True)
class Options:
    """What to reproduce. ``images`` and ``validation_images`` are all unless given, else the first by id.

    ``baseline_seeds``: baselines on codecs of their own meet the first so many noise seeds, all unless given.
    ``ldpc_bers``: those that the baseline with a decoder meets, all unless given.
    ``elsewhere``: the runs of another machine that measured all passes; none is then measured here.
    ``baseline_weights``: a folder with the profile's weights and, beside them, baselines' codecs that are not shipped.
    """

    spec: Spec
    data: Path
    bers: tuple[float, ...]
    seeds: tuple[int, ...]
    workers: int
    runs: Path
    results: Path
    images: int | None = None
    validation_images: int | None = None
    ldpc: bool = True
    ldpc_bers: tuple[float, ...] | None = None
    baseline_seeds: int | None = None
    elsewhere: Path | None = None
    baseline_weights: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the profile's JSON goes."""
        return self.results / self.spec.profile

    @property
    def store(self) -> UnitStore:
        return units_of(self.runs)

    @property
    def whole(self) -> Spec:
        """The profile with all its codecs. Raises WeightsError where ``baseline_weights`` has other parts of it."""
        if self.baseline_weights is None:
            return self.spec
        whole = replace(self.spec, weights=self.baseline_weights)
        shipped, kept = self.spec.manifest().parts, whole.manifest().parts
        differ = [part for part, entry in shipped.items() if part not in kept or kept[part].sha256 != entry.sha256]
        if differ:
            raise WeightsError(f"{self.baseline_weights} has other weights of {', '.join(sorted(differ))}")
        return whole

    def measuring(self) -> tuple[Spec, UnitStore, Record]:
        """What measures, where its units lie, and the record of its machine. Raises ValueError, WeightsError."""
        if self.elsewhere is None:
            return self.whole, self.store, machine(self.spec.device)
        return measured_elsewhere(self.whole, self.elsewhere)


def baselines_of(options: Options) -> list[tuple[str, Plan]]:
    """Systems on other codecs, where the weights have them, and what is measured; with a decoder's CRC, one seed."""
    manifest, found = options.whole.manifest(), []
    for name, system in SYSTEMS.items():
        other = system.codec is not SNN_SC and not system.error_free and not system.takes_threshold
        if not other or lacks(system, manifest):
            continue
        if system.stop is not StopRule.CRC:
            seeds, bers = options.seeds[: options.baseline_seeds], options.bers
        elif options.ldpc:
            seeds, bers = options.seeds[:1], options.ldpc_bers or options.bers
        else:
            continue
        found.append((name, Plan(pass_of(system), bers, seeds)))
    return found


#: Outcomes by BER.
ByBer = Mapping[float, Outcomes]


class Passes:
    """Measures one pass after the other and keeps what provenance says of them."""

    def __init__(self, options: Options, listener: Listener) -> None:
        self._options, self._listener, self.done = options, listener, list[Passed]()
        self._spec, self._store, self.machine = options.measuring()
        self._validation = cifar100.load(options.data, "validation").by_id(options.validation_images)
        self.test = cifar100.load(options.data, "test").by_id(options.images)

    def paper(self) -> tuple[ByBer, ByBer, tuple[str, ...]]:
        """The paper's codec on the test images and on those that choose thresholds, and the ids of the first."""
        bers, seeds = self._options.bers, self._options.seeds
        known = self._run(Plan(SNN_SC.name, bers, seeds[:_VALIDATION_SEEDS]), "validation", self._validation)
        return self._run(Plan(SNN_SC.name, bers, seeds), "test", self.test), known, tuple(self.test.ids())

    def baselines(self) -> dict[str, ByBer]:
        """Systems on other codecs, by name."""
        return {name: self._run(plan, "test", self.test) for name, plan in baselines_of(self._options)}

    def _run(self, plan: Plan, split: str, images: LabelledImages) -> ByBer:
        measured = measure(self._spec, images, plan, self._store, self._options.workers, self._listener)
        done = (plan.pass_name, split, len(images), plan.bers, plan.seeds, measured.images_per_second)
        self.done.append(Passed(*done))
        return with_learned_scores(self._spec, plan.pass_name, measured.by_ber)


def measure_only(options: Options, listener: Listener) -> Path:
    """The passes alone, for figures that another machine draws -> the folder of runs.

    Raises DataSetMissingError, WeightsError, WorkerDiedError.
    """
    passes = Passes(options, listener)
    passes.paper()
    passes.baselines()
    write_json(options.runs / options.spec.profile / MEASURED_ON, passes.machine)
    return options.runs
