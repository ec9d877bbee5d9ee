# SPDX-License-Identifier: Apache-2.0
"""``spikelink reproduce``: measure, choose the figures' thresholds on validation, and write all results as JSON."""

from pathlib import Path
from typing import Final

from experiments.data import cifar100
from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.machine import Record
from experiments.evaluation.measure import Listener
from experiments.evaluation.parts import Spec
from experiments.json_files import write_json
from experiments.reproduction import backbone
from experiments.reproduction.decisions import decisions
from experiments.reproduction.energy import COUNTED_IMAGES, energy
from experiments.reproduction.gaps import gaps
from experiments.reproduction.material import SHOWN_BERS, Material
from experiments.reproduction.measuring import Options, Passes
from experiments.reproduction.provenance import provenance
from experiments.reproduction.rates import rates
from experiments.reproduction.sample import sample
from experiments.reproduction.similarity import similarity
from models.codecs import SNN_SC
from models.profiles import PROFILES
from models.systems import SYSTEMS
from models.weights import A_THRESHOLD, WeightsError, lacks

SAMPLE: Final = "sample"
#: The project's own results, wherever new ones go: what was noted of a backbone that is no more is there.
COMMITTED: Final = Path(__file__).resolve().parents[2] / "docs" / "results"


def reproduce(options: Options, listener: Listener) -> Path:
    """Everything, resumably -> the folder with the JSON.

    Raises DataSetMissingError, WeightsError where the profile is not trained or its default thresholds are missing,
    WorkerDiedError, and ValueError where the BERs leave nothing to draw or a read-only store lacks units.
    """
    _check_thresholds(options.spec)
    if not set(options.bers) & set(SHOWN_BERS):
        raise ValueError(f"the figures need one of the BERs {', '.join(f'{ber:g}' for ber in SHOWN_BERS)}")
    passes, thresholds = Passes(options, listener), options.spec.manifest().thresholds
    material = Material(PROFILES[options.spec.profile], *passes.paper(), thresholds, passes.baselines())
    sections = _sections(options, material, passes.test)
    made_of = provenance(options.spec, options.whole, passes.done, passes.machine)
    _write(options.folder, sections | {"provenance": made_of})
    write_sample(options, listener)
    return options.folder


def write_sample(options: Options, listener: Listener) -> Path:
    """The small sample alone; its test images are units of the large measurement, where that has run.

    Raises WeightsError as ``reproduce``, DataSetMissingError.
    """
    _check_thresholds(options.spec)
    figures = sample(options.spec, options.store, cifar100.load(options.data, "test"), listener)
    _write(options.folder, {SAMPLE: figures})
    return options.folder / f"{SAMPLE}.json"


def _check_thresholds(spec: Spec) -> None:
    """Raises WeightsError where a system of the figures lacks its default threshold alone."""
    manifest = spec.manifest()
    drawn = {name: system for name, system in SYSTEMS.items() if system.codec is SNN_SC}
    missing = [name for name, system in drawn.items() if lacks(system, manifest) == (A_THRESHOLD,)]
    if missing:
        raise WeightsError(
            f"no default threshold of {', '.join(sorted(missing))}: spikelink evaluate --split validation --calibrate"
        )


def _sections(options: Options, material: Material, test: LabelledImages) -> dict[str, Record]:
    spec, owner = options.spec, PROFILES[options.spec.profile].backbone_owner
    start = options.runs / owner / "joint" / "start"
    earlier = [backbone.noted(folder) for folder in (options.folder, COMMITTED / spec.profile)]
    first = backbone.first_backbone(spec, start, test, material, [each for each in earlier if each])
    counted = test.by_id(COUNTED_IMAGES)
    return {
        "thresholds": {name: dict(settings) for name, settings in material.thresholds.items()},
        "rates": {**rates(material), "first_backbone": backbone.section(material, first)},
        "similarity": similarity(material),
        "gaps": gaps(material),
        "decisions": decisions(material),
        "energy": energy(options.whole, counted, material, options.seeds[0]),
    }


def _write(folder: Path, sections: dict[str, Record]) -> None:
    """One file a section."""
    for name, section in sections.items():
        write_json(folder / f"{name}.json", section)
