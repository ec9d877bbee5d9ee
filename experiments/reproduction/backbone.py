# SPDX-License-Identifier: Apache-2.0
"""The backbone as first trained, which joint fine-tuning replaces: what the link's losses are counted from.

The joint stage keeps a copy in ``RUNS/PROFILE/joint/start``. Where that is gone, what was measured from it before
counts, image by image, as long as the manifest names the same start.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.machine import Record
from experiments.evaluation.parts import Spec
from experiments.reproduction.material import DEFAULT, Material
from experiments.reproduction.rates import share_correct
from experiments.reproduction.resampling import interval
from models.parts import CloudNetworks, EdgeNetworks
from models.profiles import PROFILES
from models.weights import WeightsError, load_part, read_parts

_BATCH: Final = 64
_PARTS: Final = ("edge", "head")


@dataclass(frozen=True)
class FirstBackbone:
    """Which labels it has right, images in the order of their ids, and the sha256 of its two parts."""

    correct_N: NDArray[np.bool_]
    sha256: Mapping[str, str]


def first_backbone(
    spec: Spec, start: Path, test: LabelledImages, material: Material, earlier: Sequence[Mapping[str, Any]]
) -> FirstBackbone | None:
    """None where the first backbone is not to be had.

    ``start`` is the weights folder that the joint stage kept, ``earlier`` what :func:`section`
    wrote before, wherever that lies.
    Raises WeightsError where the folder is damaged.
    """
    manifest = spec.manifest()
    joint = manifest.provenance.get("joint")
    if not isinstance(joint, dict):  # it is still the first
        direct_N = next(iter(material.test.values())).direct_correct_N
        return FirstBackbone(direct_N, {part: manifest.parts[part].sha256 for part in _PARTS})
    named = joint.get("start")
    wanted = {part: str(named.get(part)) for part in _PARTS} if isinstance(named, dict) else {}
    if wanted and _kept(PROFILES[spec.profile].backbone_owner, start) == wanted:
        return FirstBackbone(_correct(spec, start, test), wanted)
    for before in earlier:
        if (before["sha256"], before["images"]) == (wanted, len(test)):
            packed = np.frombuffer(bytes.fromhex(before["correct"]), dtype=np.uint8)
            return FirstBackbone(np.unpackbits(packed, count=len(test)).astype(np.bool_), wanted)
    return None


def noted(folder: Path) -> Mapping[str, Any] | None:
    """What :func:`section` wrote into a profile's results; None where there is nothing."""
    path = folder / "rates.json"
    found: Mapping[str, Any] | None = json.loads(path.read_text()).get("first_backbone") if path.is_file() else None
    return found


def section(material: Material, first: FirstBackbone | None) -> Record | None:
    """Its accuracy, and the points that each HARQ system loses against it at its default threshold, image by image."""
    if first is None:
        return None
    lost: list[Record] = []
    for name in material.systems:
        for ber in material.test:
            lost_N = first.correct_N - material.harq[name, DEFAULT, ber].correct_N
            (lost_R,) = material.resampler.means(lost_N).T
            figures = {"points": 100 * float(lost_N.mean()), "interval": interval(100 * lost_R)}
            lost.append({"system": name, "ber": ber, **figures})
    return {
        **share_correct(material, first.correct_N),
        "images": len(first.correct_N),
        "sha256": dict(first.sha256),
        "correct": np.packbits(first.correct_N).tobytes().hex(),
        "lost": lost,
    }


def _kept(profile: str, start: Path) -> dict[str, str]:
    """What the joint stage's copy is of; empty where there is none."""
    try:
        parts = read_parts(profile, start)
    except WeightsError:
        return {}
    return {part: parts[part].sha256 for part in _PARTS if part in parts}


def _correct(spec: Spec, start: Path, images: LabelledImages) -> NDArray[np.bool_]:
    profile = PROFILES[spec.profile]
    owner = profile.backbone_owner
    parts = read_parts(owner, start)
    inference = spec.inference()
    edge = EdgeNetworks(profile, ["edge"]).to(inference.device).eval()["edge"]
    head = CloudNetworks(profile, ["head"]).to(inference.device).eval()["head"]
    load_part(edge, "edge", owner, parts, start)
    load_part(head, "head", owner, parts, start)
    right = []
    for row in range(0, len(images), _BATCH):
        x_BCHW = torch.from_numpy(images.images_NCHW[row : row + _BATCH])
        (logits,) = inference.run(lambda x: (head(edge(x.float() / 255)),), x_BCHW)
        right.append(logits.cpu().numpy().argmax(1) == images.labels_N[row : row + _BATCH])
    return np.concatenate(right)
