# SPDX-License-Identifier: Apache-2.0
"""The backbone as first trained, which joint fine-tuning replaces: what the link's losses are counted from.

The joint stage keeps a copy in ``RUNS/PROFILE/joint/start``. Where that is gone, the figure measured from it before
counts as long as the manifest names the same start.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.parts import Spec
from experiments.reproduction.rates import Record
from models.inference import Inference, choose_device
from models.parts import CloudNetworks, EdgeNetworks
from models.profiles import PROFILES
from models.weights import load_part, read_parts

_BATCH: Final = 64


def first_backbone(spec: Spec, start: Path, images: LabelledImages, before: dict[str, Any] | None) -> Record | None:
    """Its test accuracy in percent, or None where the backbone is still the first, or the first is not to be had.

    ``start`` is the weights folder that the joint stage kept, ``before`` what an earlier call returned.
    Raises WeightsError where the folder is damaged.
    """
    joint = spec.manifest().provenance.get("joint")
    if joint is None:
        return None
    if not (start / spec.profile).is_dir():
        named = joint.get("start") if isinstance(joint, dict) else None
        same = before is not None and isinstance(named, dict) and named.get("edge") == before["edge_sha256"]
        return before if same else None
    profile, parts = PROFILES[spec.profile], read_parts(spec.profile, start)
    inference = Inference(choose_device(spec.device), spec.bf16)
    edge = EdgeNetworks(profile, ["edge"]).to(inference.device).eval()["edge"]
    head = CloudNetworks(profile, ["head"]).to(inference.device).eval()["head"]
    load_part(edge, "edge", spec.profile, parts, start)
    load_part(head, "head", spec.profile, parts, start)
    right = []
    for first in range(0, len(images), _BATCH):
        x_BCHW = torch.from_numpy(images.images_NCHW[first : first + _BATCH])
        (logits,) = inference.run(lambda x: (head(edge(x.float() / 255)),), x_BCHW)
        right.append(logits.cpu().numpy().argmax(1) == images.labels_N[first : first + _BATCH])
    accuracy = 100 * float(np.concatenate(right).mean())
    return {"accuracy": accuracy, "images": len(images), "edge_sha256": parts["edge"].sha256}
