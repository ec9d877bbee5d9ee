# SPDX-License-Identifier: Apache-2.0
"""What all stages do alike: read images and weights, compute features, run, write the result and its origin."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import nn

from experiments.data import cifar100
from experiments.training.backbone import Backbone
from experiments.training.checkpoints import DEFAULT_INTERVAL_S, Checkpoints
from experiments.training.engine import choose_engine
from experiments.training.export import FLOAT16_BITS, Destination, export_best
from experiments.training.features import FeatureSets, FeatureSource, FreshFeatures
from experiments.training.images import ImageSet, ImageSets
from experiments.training.loop import Metrics, Report, Run, Schedule, Stage
from models.profiles import PROFILES
from models.weights import WEIGHTS_FOLDER, load_part, read_parts


@dataclass(frozen=True)
class TrainingOptions:
    """Where a stage reads and writes, and how it runs. ``images``: only so many of each split, the first by id."""

    profile: str
    data: Path
    runs: Path
    weights: Path = WEIGHTS_FOLDER
    start: Path | None = None
    resume: bool = False
    device: str = "auto"
    bf16: bool = True
    compiled: bool | None = None
    images: int | None = None
    checkpoint_s: float = DEFAULT_INTERVAL_S
    weight_bits: int = FLOAT16_BITS


@dataclass(frozen=True)
class Listener:
    """Who hears of a stage's progress."""

    step: Report
    epoch: Callable[[Metrics], None]
    features: Callable[[int], None]


@dataclass(frozen=True)
class Origin:
    """A stage's name, its settings, and the sha256 of each part it builds on.

    ``start_counts``: the stage goes on with trained networks, so no worse epoch may replace them.
    """

    stage: str
    settings: Mapping[str, object]
    start: Mapping[str, str]
    start_counts: bool = False


class Bench:
    """One command's stage at work. Its methods raise DataSetMissingError and WeightsError."""

    def __init__(self, options: TrainingOptions, schedule: Schedule, listener: Listener) -> None:
        self.options, self.listener, self.asked = options, listener, schedule
        self.profile = PROFILES[options.profile]
        self.engine = choose_engine(options.device, bf16=options.bf16, compiled=options.compiled)
        torch.manual_seed(schedule.seed)

    @property
    def folder(self) -> Path:
        """Checkpoints and features of the profile."""
        return self.options.runs / self.options.profile

    @cached_property
    def schedule(self) -> Schedule:
        """As asked for, in batches that the images suffice for."""
        return replace(self.asked, batch=min(self.asked.batch, self.images.train.count))

    @cached_property
    def _labelled(self) -> tuple[cifar100.LabelledImages, cifar100.LabelledImages]:
        train, validation = (cifar100.load(self.options.data, split) for split in ("train", "validation"))
        few = self.options.images
        return (train, validation) if few is None else (train.by_id(few), validation.by_id(few))

    @cached_property
    def data_sha256(self) -> str:
        """One name for pixels, labels and order of both splits."""
        found = sha256()
        for labelled in self._labelled:
            found.update(np.ascontiguousarray(labelled.images_NCHW).data)
            found.update(np.ascontiguousarray(labelled.labels_N).data)
        return found.hexdigest()

    @cached_property
    def images(self) -> ImageSets:
        train, validation = (ImageSet.on(self.engine.device, labelled) for labelled in self._labelled)
        return ImageSets(train, validation)

    def load(self, parts: Mapping[str, nn.Module], profile_folder: Path | None = None) -> dict[str, str]:
        """Fill networks from a profile's folder, the command's own unless given -> the sha256 of each part."""
        source = profile_folder or self.options.weights / self.options.profile
        known = read_parts(source.name, source.parent)
        for name, part in parts.items():
            load_part(part, name, source.name, known, source.parent)
        return {name: known[name].sha256 for name in parts}

    def frozen_backbone(self) -> tuple[Backbone, dict[str, str]]:
        """The backbone in the weights folder, in evaluation mode, and what it is."""
        backbone = Backbone(self.profile.backbone)
        start = self.load({"edge": backbone.edge, "head": backbone.head})
        self.engine.place(backbone)
        return backbone.requires_grad_(False).eval(), start

    def features(self, backbone: Backbone, start: Mapping[str, str], cutmix: float | None = None) -> FeatureSets:
        """Of the training images computed once; of ever fresh crops where a share of CutMix is given."""
        # Features belong to one backbone and to one set of images: others would train a codec for what is not there.
        name = f"features-{start['edge'][:12]}-{self.data_sha256[:12]}"
        source = FeatureSource(backbone.edge, self.engine, self.folder / name, self.listener.features)
        validation = source.compute(self.images.validation, "validation", views=1)
        if cutmix is not None:
            return FeatureSets(FreshFeatures(backbone.edge, self.images.train, cutmix), validation)
        return FeatureSets(source.compute(self.images.train, "train", views=2), validation)

    def train(self, stage: Stage, parts: Mapping[str, nn.Module], origin: Origin) -> Run:
        """Train what is left and write the best epoch of the parts. Raises ResumeError."""
        run = self._prepared(stage, origin)
        if self.options.resume:
            run.resume()
        run.train(self.listener.step, self.listener.epoch, start_counts=origin.start_counts)
        few = "" if self.options.images is None else f"; only the first {self.options.images:,} images of each, by id"
        facts = {
            "data": f"CIFAR-100 training set without the 2,500 validation images{few}",
            "data_sha256": self.data_sha256,
            "settings": origin.settings,
            "start": origin.start,
        }
        to = Destination(self.options.weights, self.options.profile, origin.stage, self.options.weight_bits)
        export_best(run, parts, to, facts)
        return run

    def _prepared(self, stage: Stage, origin: Origin) -> Run:
        identity = {
            "stage": origin.stage,
            "profile": self.options.profile,
            "precision": "bfloat16" if self.engine.bf16 else "float32",
            "data": self.data_sha256[:12],
            "start": _digest(origin.start),
            **{
                key.replace("_", " "): str(value) for key, value in {**asdict(self.schedule), **origin.settings}.items()
            },
        }
        checkpoints = Checkpoints(self.folder / origin.stage, identity, self.options.checkpoint_s)
        return Run(stage, self.schedule, checkpoints, self.engine)


def _digest(start: Mapping[str, str]) -> str:
    return sha256(repr(sorted(start.items())).encode()).hexdigest()[:12] if start else "nothing"
