# SPDX-License-Identifier: Apache-2.0
"""``spikelink reproduce``: measure, choose the figures' thresholds on validation, and write all results as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from experiments.data import cifar100
from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.learned_rule import with_learned_scores
from experiments.evaluation.measure import Listener, Plan, measure
from experiments.evaluation.outcomes import Outcomes
from experiments.evaluation.parts import Spec
from experiments.evaluation.passes import pass_of
from experiments.evaluation.units import UnitStore
from experiments.json_files import write_json
from experiments.reproduction import backbone
from experiments.reproduction.decisions import decisions
from experiments.reproduction.energy import COUNTED_IMAGES, energy
from experiments.reproduction.gaps import gaps
from experiments.reproduction.material import Material
from experiments.reproduction.provenance import Passed, machine, provenance
from experiments.reproduction.rates import Record, rates
from experiments.reproduction.sample import sample
from experiments.reproduction.similarity import similarity
from models.codecs import SNN_SC
from models.profiles import PROFILES
from models.systems import SYSTEMS, StopRule
from models.weights import A_THRESHOLD, WeightsError, lacks

SAMPLE: Final = "sample"
#: In a folder of runs, the record of the machine that measured.
MEASURED_ON: Final = "measured-on.json"
#: What thresholds are chosen with: the images, not the noise, set how well they are known.
_VALIDATION_SEEDS: Final = 2


@dataclass(frozen=True)
class Options:
    """What to reproduce. ``images`` and ``validation_images`` are all unless given, else the first by id.

    ``baseline_seeds``: baselines on codecs of their own meet the first so many noise seeds, all unless given.
    ``elsewhere``: the runs of another machine that measured; nothing that it has not done is then measured here.
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
    baseline_seeds: int | None = None
    elsewhere: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the profile's JSON goes."""
        return self.results / self.spec.profile

    @property
    def store(self) -> UnitStore:
        return UnitStore(self.runs / "units")

    def measuring(self) -> tuple[Spec, UnitStore, Record]:
        """What measures, where its units lie, and the record of its machine. Raises ValueError."""
        if self.elsewhere is None:
            return self.spec, self.store, machine(self.spec.device)
        path = self.elsewhere / MEASURED_ON
        try:
            found = json.loads(path.read_text())
            kind = "cpu" if found["device"] == "cpu" else "cuda"
            spec = replace(self.spec, device=kind, torch=str(found["versions"]["torch"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} says of no machine that measured: {error}") from error
        return spec, UnitStore(self.elsewhere / "units"), found


def reproduce(options: Options, listener: Listener) -> Path:
    """Everything, resumably -> the folder with the JSON.

    Raises DataSetMissingError, and WeightsError where the profile is not trained or its default thresholds are missing.
    """
    defaults = options.spec.manifest().thresholds
    profile = PROFILES[options.spec.profile]
    missing = [name for name, system in SYSTEMS.items() if lacks(system, options.spec.manifest()) == (A_THRESHOLD,)]
    if missing:
        raise WeightsError(
            f"no default threshold of {', '.join(sorted(missing))}: spikelink evaluate --split validation --calibrate"
        )
    passes = _Passes(options, listener)
    material = Material(profile, *passes.all(), defaults, passes.baselines())
    sections = _sections(options, material, passes.test)
    _write(options.folder, sections | {"provenance": provenance(options.spec, passes.done, passes.machine)})
    write_sample(options, listener)
    return options.folder


def measure_only(options: Options, listener: Listener) -> Path:
    """The passes alone, for figures that another machine draws -> the folder of runs.

    Raises DataSetMissingError, WeightsError.
    """
    passes = _Passes(options, listener)
    write_json(options.runs / MEASURED_ON, passes.machine)
    passes.all()
    passes.baselines()
    return options.runs


def _baselines(options: Options) -> list[tuple[str, tuple[int, ...]]]:
    """Systems on other codecs, where the weights have them, and their noise seeds; with a decoder's CRC, the first."""
    manifest, found = options.spec.manifest(), []
    for name, system in SYSTEMS.items():
        other = system.codec is not SNN_SC and not system.error_free and not system.takes_threshold
        if not other or lacks(system, manifest):
            continue
        if system.stop is not StopRule.CRC:
            found.append((name, options.seeds[: options.baseline_seeds]))
        elif options.ldpc:
            found.append((name, options.seeds[:1]))
    return found


#: Outcomes by BER.
ByBer = Mapping[float, Outcomes]


class _Passes:
    """Measures one pass after the other and keeps what provenance says of them."""

    def __init__(self, options: Options, listener: Listener) -> None:
        self._options, self._listener, self.done = options, listener, list[Passed]()
        self._spec, self._store, self.machine = options.measuring()
        self._validation = cifar100.load(options.data, "validation").by_id(options.validation_images)
        self.test = cifar100.load(options.data, "test").by_id(options.images)

    def all(self) -> tuple[ByBer, ByBer, tuple[str, ...]]:
        """The paper's codec on the test images and on those that choose thresholds, and the ids of the first."""
        seeds = self._options.seeds
        known = self._run(SNN_SC.name, "validation", self._validation, seeds[:_VALIDATION_SEEDS])
        return self._run(SNN_SC.name, "test", self.test, seeds), known, tuple(self.test.ids())

    def baselines(self) -> dict[str, ByBer]:
        """Systems on other codecs, by name."""
        chosen = _baselines(self._options)
        return {name: self._run(pass_of(SYSTEMS[name]), "test", self.test, seeds) for name, seeds in chosen}

    def _run(self, name: str, split: str, images: LabelledImages, seeds: tuple[int, ...]) -> ByBer:
        plan = Plan(name, self._options.bers, seeds)
        measured = measure(self._spec, images, plan, self._store, self._options.workers, self._listener)
        self.done.append(Passed(name, split, len(images), plan.bers, seeds, measured.images_per_second))
        return with_learned_scores(self._spec, name, measured.by_ber)


def write_sample(options: Options, listener: Listener) -> Path:
    """The small sample alone; its test images are units of the large measurement, where that has run.

    Raises WeightsError, DataSetMissingError.
    """
    figures = sample(options.spec, options.store, cifar100.load(options.data, "test"), listener)
    _write(options.folder, {SAMPLE: figures})
    return options.folder / f"{SAMPLE}.json"


def _sections(options: Options, material: Material, test: LabelledImages) -> dict[str, Record]:
    spec, owner = options.spec, PROFILES[options.spec.profile].backbone_owner
    start = options.runs / owner / "joint" / "start"
    path = options.folder / "rates.json"
    before = json.loads(path.read_text()).get("first_backbone") if path.is_file() else None
    first = backbone.first_backbone(spec, start, test, material, before)
    counted = test.by_id(COUNTED_IMAGES)
    return {
        "thresholds": {name: dict(settings) for name, settings in material.thresholds.items()},
        "rates": {**rates(material), "first_backbone": backbone.section(material, first)},
        "similarity": similarity(material),
        "gaps": gaps(material),
        "decisions": decisions(material),
        "energy": energy(spec, counted, material, options.seeds[0]),
    }


def _write(folder: Path, sections: dict[str, Record]) -> None:
    """One file a section."""
    for name, section in sections.items():
        write_json(folder / f"{name}.json", section)
