# SPDX-License-Identifier: Apache-2.0
"""From the best epoch of a stage to ``weights/PROFILE``: safetensors files and their entry in the manifest."""

import json
import platform
import shlex
import sys
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import JsonValue
from safetensors.torch import save_file
from torch import Tensor, nn

from experiments.training.engine import Engine
from experiments.training.loop import Progress, Run
from experiments.whole_files import whole_file
from models.parts import cloud_parts, edge_parts
from models.profiles import Profile
from models.systems import SYSTEMS
from models.weights import MANIFEST, WeightsError, read_parts

#: Significant bits of float16.
FLOAT16_BITS: Final = 11
#: By stage and kind, names in the manifest.
Names = Mapping[str, Mapping[str, tuple[str, ...]]]
_BACKBONE_PARTS: Final = ("edge", "head")
_CODEC_PARTS: Final = ("encoder", "reconstructor", "converter")

#: All that stays when a stage makes a new backbone; codecs of one's own go too, for they learned on the old one.
_ALL_BUT: Final[Names] = {
    "backbone": {"parts": _BACKBONE_PARTS, "provenance": ("backbone",)},
    "joint": {"parts": (*_BACKBONE_PARTS, *_CODEC_PARTS), "provenance": ("backbone", "codec", "joint")},
}
#: What goes when another stage is trained anew.
_BUILT_ON: Final[Names] = {
    "codec": {"parts": ("prior", "similarity", "outlook"), "provenance": ("simnet", "outlook")},
}


@dataclass(frozen=True)
class Destination:
    """The profile in a weights folder, and the stage whose result goes there.

    ``weight_bits``: significant bits that matrices and kernels keep, so that files compress.
    """

    folder: Path
    profile: str
    stage: str
    weight_bits: int = FLOAT16_BITS


def export_best(run: Run, parts: Mapping[str, nn.Module], to: Destination, facts: Mapping[str, object]) -> None:
    """Write the run's best epoch, which its networks hold afterwards. ``facts`` join the entry of the stage."""
    run.stage.network.load_state_dict(run.checkpoints.load_best())
    export_parts(parts, to, {**provenance(run), **facts})


def export_parts(parts: Mapping[str, nn.Module], to: Destination, entry: Mapping[str, object]) -> None:
    """Write networks: one file a part, matrices and kernels as float16, the rest as float32; and the manifest.

    The networks are rounded as stored. What later stages had built on the old weights leaves the manifest, and with it
    the thresholds of the systems that use either; it stays where the weights are the same as before. ``entry`` says how
    the stage came about.
    """
    target = to.folder / to.profile
    target.mkdir(parents=True, exist_ok=True)
    manifest = _read(target / MANIFEST, to.profile)
    written: dict[str, object] = {
        name: _write(part, target / f"{name}.safetensors", to.weight_bits) for name, part in parts.items()
    }
    if any(manifest["parts"].get(name) != part for name, part in written.items()):
        manifest = _without_later(manifest, to.stage, written.keys())
    manifest["parts"].update(written)
    manifest["provenance"][to.stage] = dict(entry)
    write_manifest(target / MANIFEST, manifest)


def adopt_backbone(folder: Path, profile: Profile) -> None:
    """Enter the backbone of a profile's base into its manifest, where it has none: the files stay with the base.

    Raises WeightsError where the base has no backbone.
    """
    target = folder / profile.name / MANIFEST
    if profile.base is None or target.is_file():
        return
    base = read_parts(profile.base, folder)
    missing = [part for part in _BACKBONE_PARTS if part not in base]
    if missing:
        raise WeightsError(f"profile {profile.base} lacks {', '.join(missing)}, which {profile.name} has too")
    manifest = _read(folder / profile.base / MANIFEST, profile.base)
    stages = ("backbone", "joint")
    adopted = {
        "profile": profile.name,
        "parts": {part: manifest["parts"][part] for part in _BACKBONE_PARTS},
        "thresholds": {},
        "provenance": {name: entry for name, entry in manifest["provenance"].items() if name in stages},
    }
    write_manifest(target, adopted)


def round_as_stored(part: nn.Module, weight_bits: int = FLOAT16_BITS) -> dict[str, Tensor]:
    """Give a network the values that its file will have -> those, as stored."""
    stored = {
        key: (_rounded(value, weight_bits).half() if value.ndim > 1 else value.float()).cpu().contiguous()
        for key, value in part.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    part.load_state_dict({key: value.float() for key, value in stored.items()}, strict=False)
    return stored


def _write(part: nn.Module, path: Path, weight_bits: int) -> dict[str, JsonValue]:
    stored = round_as_stored(part, weight_bits)
    with whole_file(path) as partial:
        save_file(stored, partial)
        partial.chmod(0o644)
    content = path.read_bytes()
    return {"sha256": sha256(content).hexdigest(), "size_bytes": len(content)}


def _rounded(value: Tensor, bits: int) -> Tensor:
    """To so many significant bits; as they are where float16 has no more."""
    if bits >= FLOAT16_BITS:
        return value
    mantissa, exponent = torch.frexp(value.float())
    return torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent)


def _without_later(manifest: dict[str, Any], stage: str, written: Set[str]) -> dict[str, Any]:
    """The manifest without what was built on the old weights of a stage, of which ``written`` are the parts."""

    def stays(kind: str, name: str) -> bool:
        if stage in _ALL_BUT:
            return name in _ALL_BUT[stage][kind]
        return stage not in _BUILT_ON or name not in _BUILT_ON[stage][kind]

    kept = {
        kind: {name: value for name, value in manifest[kind].items() if stays(kind, name)}
        for kind in ("parts", "provenance")
    }
    if stage in _ALL_BUT:
        return {**manifest, **kept, "thresholds": {}}
    changed = written | (manifest["parts"].keys() - kept["parts"].keys())
    users = {name for name, system in SYSTEMS.items() if changed & {*edge_parts(system), *cloud_parts(system)}}
    thresholds = {name: theta for name, theta in manifest["thresholds"].items() if name not in users}
    if not thresholds:
        kept["provenance"].pop("thresholds", None)
    return {**manifest, **kept, "thresholds": thresholds}


def provenance(run: Run) -> dict[str, JsonValue]:
    """Command, seed, metrics, hardware and duration of a run."""
    progress: Progress = run.progress
    return {
        "command": shlex.join(["spikelink", *sys.argv[1:]]),
        "seed": run.schedule.seed,
        "schedule": asdict(run.schedule),
        "best_epoch": progress.best_epoch,
        "metrics": dict(progress.best),
        **({"before": dict(progress.before)} if progress.before else {}),
        "hardware": _hardware(run.engine),
        "torch": torch.__version__,
        "duration_s": round(progress.seconds),
    }


def _hardware(engine: Engine) -> str:
    precision = "bfloat16" if engine.bf16 else "float32"
    if engine.device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(engine.device)}, {precision}"
    return f"cpu, {torch.get_num_threads()} threads, {platform.machine()}, {precision}"


def _read(path: Path, profile: str) -> dict[str, Any]:
    if path.is_file():
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest
    return {"profile": profile, "parts": {}, "thresholds": {}, "provenance": {}}


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Replace the manifest, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
