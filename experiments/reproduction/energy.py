# SPDX-License-Identifier: Apache-2.0
"""Energy of computation per image, edge and cloud apart: a session is the sum of what ran until its end.

Units    pJ; see experiments/reproduction/operations.py. Neither memory, radio, the LDPC decoder nor the
         learned rule's hundred operations are counted.
"""

from collections.abc import Iterable
from typing import Final

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.machine import Record
from experiments.evaluation.parts import Spec
from experiments.evaluation.rules import MULTI_RATE, Trial
from experiments.reproduction.material import DEFAULT, Material
from experiments.reproduction.operations import Counts, OperationCounter, Operations
from models.codecs import CNN_1BIT, SNN_SC, SNN_SC_LDPC, Steps
from models.codecs.snn_sc_ldpc import SNN_STEPS
from models.profiles import Profile
from models.systems import SYSTEMS, StopRule, System

#: Images that the operations are counted on, the first by id.
COUNTED_IMAGES: Final = 64
_NOTHING: Final = Operations()


def energy(spec: Spec, images: LabelledImages, material: Material, seed: int) -> Record:
    """``sessions``: a system, setting and BER each; ``backbone``: the two halves of the network without a link."""
    counter = OperationCounter(spec, images, seed)
    shared, fixed = counter.shared(), {SNN_SC_LDPC.name: counter.noise_free(), CNN_1BIT.name: counter.one_bit()}
    spiking = {ber: counter.spiking(ber) for ber in material.test}
    sessions: list[Record] = []
    for (name, setting, ber), trial in _trials(material).items():
        system = SYSTEMS[name]
        own = spiking[ber] if system.codec is SNN_SC else fixed.get(system.codec.name)
        if own is None:  # a codec that the counter does not know
            continue
        counts = {**shared, **own}
        figures = _mean(counts, system, trial, material.profile)
        sessions.append({"system": name, "setting": setting, "ber": ber, **figures})
    backbone = {"edge": vars(shared["backbone"]), "cloud": vars(shared["head"])}
    return {"images": len(images), "sessions": sessions, "backbone": backbone}


def _trials(material: Material) -> dict[tuple[str, str, float], Trial]:
    """The systems that exist, at their default or at each fixed rate."""
    harq = {key: trial for key, trial in material.harq.items() if key[0] in SYSTEMS and key[1] == DEFAULT}
    fixed = {(MULTI_RATE, f"t={t}", ber): trial for (t, ber), trial in material.fixed.items()}
    return {**harq, **fixed, **material.baseline_trials}


def _mean(counts: Counts, system: System, trial: Trial, profile: Profile) -> Record:
    """Over the points where sessions end."""
    rate = system.codec.rate
    first = rate.range(profile.harq)[0] if isinstance(rate, Steps) else 0
    edge = cloud = _NOTHING
    for t, share in enumerate(trial.share_S, start=first):
        if share > 0:
            at_edge, at_cloud = session(counts, system, t, first)
            edge, cloud = edge + at_edge * share, cloud + at_cloud * share
    rounds = trial.mean_rounds if system.is_harq else 1.0
    heads = rounds if system.stop in (StopRule.MARGIN, StopRule.OUTLOOK) else 1.0
    return {"edge": vars(edge), "cloud": vars(cloud), "rounds": rounds, "task_head_runs": heads}


def session(counts: Counts, system: System, t: int, first: int) -> tuple[Operations, Operations]:
    """A session that ends after step t, where the first round brings ``first`` steps -> (edge, cloud)."""
    if system.codec is CNN_1BIT:
        return counts["backbone"] + counts["encoder"], counts[f"decoder {t}"] + counts["head"]
    if system.codec is SNN_SC_LDPC:  # the network runs once, on what the decoder hands over
        t = first = SNN_STEPS
    steps, judged = range(1, t + 1), range(first, t + 1) if system.is_harq else range(t, t + 1)
    edge = counts["backbone"] + counts["current"] + _sum(counts[f"encoder {i}"] for i in steps)
    cloud = _sum(counts[f"reconstructor {i}"] for i in steps) + _sum(counts[f"converter {i}"] for i in judged)
    if system.sends_prior:
        edge, cloud = edge + counts["prior"], cloud + counts["similarity"] * len(judged)
    heads = len(judged) if system.stop in (StopRule.MARGIN, StopRule.OUTLOOK) else 1
    return edge, cloud + counts["head"] * heads


def _sum(some: Iterable[Operations]) -> Operations:
    return sum(some, _NOTHING)
