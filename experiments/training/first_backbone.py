# SPDX-License-Identifier: Apache-2.0
"""Joint fine-tuning replaces the backbone that it starts from; here that backbone stays as it was first trained.

``RUNS/PROFILE/joint/start`` is a weights folder with a copy of the profile: the joint stage reads it, so that it can be
resumed although its result stands in the place of its start, and the first backbone can still be evaluated.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final

from experiments.training.bench import Bench
from models.weights import MANIFEST, WeightsError

JOINT_PARTS: Final = ("edge", "head", "encoder", "reconstructor", "converter")


class StageOrderError(Exception):
    """A stage was asked for that its weights do not allow."""


def keep_start(bench: Bench) -> Path:
    """The weights folder that the joint stage starts from: copied now, or by the run that is resumed.

    Raises StageOrderError where the profile has been tuned jointly already, or is not the one that a resumed run
    started from; WeightsError where there is nothing to start from.
    """
    profile, weights = bench.options.profile, bench.options.weights
    kept = bench.folder / "joint" / "start"
    now = _manifest(weights / profile)
    if bench.options.resume and (kept / profile / MANIFEST).is_file():
        before = _hashes(_manifest(kept / profile))
        result_of = now["provenance"].get("joint", {}).get("start")
        # An export that was cut off may have replaced files of the start, never its entries in the manifest.
        if before not in (_hashes(now), result_of):
            raise StageOrderError(f"{weights / profile} has changed since this joint run began: leave out --resume")
        return kept
    if now["provenance"].get("joint", {"best_epoch": -1})["best_epoch"] >= 0:
        raise StageOrderError(
            f"{profile} is tuned jointly already, and once per backbone: train backbone and codec before, "
            f"or start from the copy in {kept}"
        )
    partial = kept.with_name("start.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(weights / profile, partial / profile)
    shutil.rmtree(kept, ignore_errors=True)
    partial.rename(kept)
    return kept


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise WeightsError(f"{folder} has no weights: joint fine-tuning needs a backbone and a codec")
    manifest: dict[str, Any] = json.loads(path.read_text())
    return manifest


def _hashes(manifest: dict[str, Any]) -> dict[str, str]:
    parts = manifest["parts"]
    return {name: parts[name]["sha256"] for name in JOINT_PARTS if name in parts}
