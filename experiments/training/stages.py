# SPDX-License-Identifier: Apache-2.0
"""The stages as commands run them: load what came before, train, write the weights.

All of them raise DataSetMissingError, WeightsError and ResumeError.
"""

from dataclasses import asdict, dataclass

from torch import nn

from experiments.training.accuracy import Cells
from experiments.training.backbone import Backbone, BackboneStage, ImageSchedule
from experiments.training.bench import Bench, Origin
from experiments.training.codec import CodecPlan, CodecStage
from experiments.training.codecs import AnyCodec, Codec, OneBitCodec
from experiments.training.draws import Draws
from experiments.training.export import adopt_backbone
from experiments.training.first_backbone import keep_start
from experiments.training.joint import JointNetwork, JointPlan, JointStage
from experiments.training.loop import Run
from experiments.training.simnet import FrozenLink, SimNet, SimNetStage
from models.codecs.snn_sc_ldpc import SNN_STEPS
from models.networks.one_bit import BLOCKS


def train_backbone(bench: Bench, images: ImageSchedule) -> Run:
    """Stage 1, from scratch or from a profile's backbone."""
    network, start = Backbone(bench.profile.backbone), {}
    if bench.options.start:
        start = bench.load({"edge": network.edge, "head": network.head}, bench.options.start)
    bench.engine.place(network)
    batch = bench.schedule.batch
    stage = BackboneStage(network, bench.images, images, batch=batch, compiled=bench.engine.compiled)
    origin = Origin("backbone", asdict(images), start, start_counts=bool(start))
    return bench.train(stage, {"edge": network.edge, "head": network.head}, origin)


@dataclass(frozen=True)
class CodecChoices:
    """How stage 2 departs from the paper's codec on features computed once; see CodecPlan and Bench.features."""

    draws: Draws
    keep_norm: bool = False
    cutmix: float | None = None
    distilled: float = 0.0


def train_codec(bench: Bench, choices: CodecChoices) -> Run:
    """Stage 2, the paper's codec or a variant trained otherwise, from scratch or from another backbone's."""
    adopt_backbone(bench.options.weights, bench.profile)
    draws, keep_norm = choices.draws, choices.keep_norm
    codec = Codec(bench.profile.backbone.feature_channels, bench.profile.max_steps, keep_norm=keep_norm)
    scored = (bench.profile.t0, bench.profile.max_steps)
    others = (draws.min_steps,) if draws.min_steps not in scored else ()
    plan = CodecPlan(draws, Cells(scored, others), keep_norm, choices.distilled)
    return fit_codec(bench, "codec", codec, plan, cutmix=choices.cutmix)


def train_joint(bench: Bench, cutmix: float) -> Run:
    """Stage 3: edge part, codec and task head as one, once per backbone. Raises StageOrderError."""
    kept = keep_start(bench)
    backbone, channels = Backbone(bench.profile.backbone), bench.profile.backbone.feature_channels
    network = JointNetwork(backbone, Codec(channels, bench.profile.max_steps))
    start = bench.load(network.parts(), kept / bench.profile.name)
    bench.engine.place(network)
    steps = (bench.profile.t0, bench.profile.max_steps)
    plan = JointPlan(CodecPlan(Draws(*steps), Cells(steps)), cutmix)
    stage = JointStage(network, bench.images, plan, batch=bench.schedule.batch)
    settings = {"cutmix": cutmix, "draws": asdict(plan.codec.draws)}
    return bench.train(stage, network.parts(), Origin("joint", settings, start, start_counts=True))


def train_simnet(bench: Bench, cutmix: float | None = None) -> Run:
    """SimNet, on backbone and codec; ``cutmix`` as in Bench.features."""
    backbone, start = bench.frozen_backbone()
    codec = Codec(bench.profile.backbone.feature_channels, bench.profile.max_steps)
    start |= bench.load(_parts(codec, ""))
    bench.engine.place(codec.requires_grad_(False).eval())
    network = SimNet(bench.profile)
    bench.engine.place(network)
    sets, batch = bench.features(backbone, start, cutmix), bench.schedule.batch
    stage = SimNetStage(network, FrozenLink(codec, backbone.head), bench.profile, sets, batch=batch)
    parts = {"prior": network.prior, "similarity": network.similarity}
    return bench.train(stage, parts, Origin("simnet", _given(cutmix=cutmix), start))


def train_noise_free_codec(bench: Bench) -> Run:
    """Baseline: the spiking codec with t = 3 and no noise, behind channel coding."""
    t = SNN_STEPS
    codec = Codec(bench.profile.backbone.feature_channels, t)
    plan = CodecPlan(Draws(t, t, 0.0), Cells((t,), bers=(0.0,)))
    return fit_codec(bench, "noise-free-codec", codec, plan, "noise-free-")


def train_cnn_1bit(bench: Bench) -> Run:
    """Baseline: the 1-bit CNN, trained over the same BERs."""
    codec = OneBitCodec(bench.profile.backbone.feature_channels)
    plan = CodecPlan(Draws(1, BLOCKS), Cells((bench.profile.t0, bench.profile.max_steps), (1,)))
    return fit_codec(bench, "cnn-1bit", codec, plan, "cnn-1bit-")


def fit_codec(
    bench: Bench, name: str, codec: AnyCodec, plan: CodecPlan, prefix: str = "", cutmix: float | None = None
) -> Run:
    """A codec on the frozen backbone, as a stage ``name``; ``prefix`` stands before its parts in the manifest."""
    backbone, start = bench.frozen_backbone()
    bench.engine.place(codec)
    sets = bench.features(backbone, start, cutmix)
    stage = CodecStage(codec, backbone.head, sets, plan, batch=bench.schedule.batch)
    parts = _parts(codec, prefix)
    if bench.options.start:
        start |= {f"start {name}": sha for name, sha in bench.load(parts, bench.options.start).items()}
    settings = {
        "draws": asdict(plan.draws),
        **_given(keep_norm=plan.keep_norm or None, cutmix=cutmix, distilled=plan.distilled or None),
    }
    return bench.train(stage, parts, Origin(name, settings, start))


def _given(**settings: object) -> dict[str, object]:
    """Those that are not None: a run that does without is named as it was before there were such settings."""
    return {name: value for name, value in settings.items() if value is not None}


def _parts(codec: AnyCodec, prefix: str) -> dict[str, nn.Module]:
    return {f"{prefix}{name}": part for name, part in codec.named_children()}
