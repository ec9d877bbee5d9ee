# SPDX-License-Identifier: Apache-2.0
"""A variant of the codec, trained from the shipped weights on the frozen backbone; what is finished is not repeated.

Everything of a variant lies in ``RUNS/PROFILE/ablations/KEY/VARIANT``: checkpoints, and ``weights``, a weights folder
like any other. KEY is a hash of what all variants of an ablation share, so another schedule is another folder.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from experiments.ablations.variants import Variant
from experiments.evaluation.parts import Spec
from experiments.training.accuracy import Cells
from experiments.training.bench import Bench, Listener, TrainingOptions
from experiments.training.checkpoints import DEFAULT_INTERVAL_S
from experiments.training.codec import CodecPlan
from experiments.training.export import write_manifest
from experiments.training.loop import Run, Schedule
from experiments.training.stages import fit_codec
from models.profiles import PROFILES
from models.weights import CLOUD_PARTS, EDGE_PARTS, MANIFEST, file_of, read_manifest


@dataclass(frozen=True)
class Recipe:
    """What all variants of an ablation share. ``images``: only so many of each split, the first by id."""

    profile: str
    data: Path
    weights: Path
    runs: Path
    schedule: Schedule
    device: str = "cpu"
    bf16: bool = True
    images: int | None = None
    checkpoint_s: float = DEFAULT_INTERVAL_S

    def key(self) -> str:
        """Raises WeightsError where the profile is not trained."""
        facts = (
            read_manifest(self.profile, self.weights).weights_sha256,
            asdict(self.schedule),
            self.bf16,
            self.images,
        )
        return sha256(repr(facts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Trained:
    """A variant with its weights, and its run."""

    spec: Spec
    run: Run


def train_variant(recipe: Recipe, variant: Variant, listener: Listener) -> Trained:
    """Go on with a variant's run, or find it finished.

    Raises DataSetMissingError, WeightsError, ResumeError, DivergedError.
    """
    stage, profile = f"ablations/{recipe.key()}/{variant.name}", PROFILES[recipe.profile]
    weights = recipe.runs / recipe.profile / stage / "weights"
    _prepare(recipe, weights)
    options = TrainingOptions(
        recipe.profile, recipe.data, recipe.runs, weights, start=recipe.weights / recipe.profile, resume=True,
        device=recipe.device, bf16=recipe.bf16, images=recipe.images, checkpoint_s=recipe.checkpoint_s,
    )  # fmt: skip
    bench = Bench(options, recipe.schedule, listener)
    cells = Cells((profile.t0, profile.max_steps))
    run = fit_codec(bench, stage, variant.codec(profile), CodecPlan(variant.draws(profile), cells, keep_norm=True))
    return Trained(variant.spec(profile, weights, recipe.device), run)


def _prepare(recipe: Recipe, weights: Path) -> None:
    """A copy of what the variant's codec stands on; its manifest comes last."""
    target = weights / recipe.profile
    if (target / MANIFEST).is_file():
        return
    target.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((recipe.weights / recipe.profile / MANIFEST).read_text())
    parts = (*EDGE_PARTS, *CLOUD_PARTS)
    for part in parts:
        shutil.copyfile(file_of(part, recipe.profile, recipe.weights), target / f"{part}.safetensors")
    kept = {part: manifest["parts"][part] for part in parts}
    write_manifest(target / MANIFEST, {**manifest, "parts": kept, "provenance": {}})
