# SPDX-License-Identifier: Apache-2.0
"""Weights on disk: one safetensors file a network, and a manifest that says what they are and where they come from.

Shapes   as the networks'.
Units    sizes in bytes, durations in seconds.
Math     weights_sha256 = sha256 over "part sha256\\n" of all parts in the order of their names
Source   none
Differs  Matrices and kernels are stored as float16 and used as float32.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from models.parts import ALL_CLOUD_PARTS, ALL_EDGE_PARTS, CloudNetworks, EdgeNetworks, cloud_parts, edge_parts
from models.profiles import PROFILES, Profile
from models.systems import DEFAULT_SYSTEM, SYSTEMS, System

Theta = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
WEIGHTS_FOLDER: Final = Path(__file__).resolve().parents[1] / "weights"
MANIFEST: Final = "manifest.json"
#: What a profile needs to serve at all: the parts of the default system. All others are optional.
EDGE_PARTS: Final = edge_parts(SYSTEMS[DEFAULT_SYSTEM])
CLOUD_PARTS: Final = cloud_parts(SYSTEMS[DEFAULT_SYSTEM])
#: How :func:`lacks` calls a default threshold that has not been chosen.
A_THRESHOLD: Final = "a threshold"


class WeightsError(Exception):
    """Weights that are absent, incomplete or not the ones that their manifest names."""


class Part(BaseModel):
    """One safetensors file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0)


class Manifest(BaseModel):
    """``manifest.json`` beside the files: their hashes, the default thresholds and how they were trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    profile: str
    parts: dict[str, Part]
    thresholds: dict[str, Theta] = Field(description="default theta by system, chosen on the validation split")
    provenance: dict[str, JsonValue] = Field(description="by stage: command, seed, data, metrics, hardware, duration")

    @property
    def weights_sha256(self) -> str:
        """One name for all the files together."""
        lines = "".join(f"{name} {part.sha256}\n" for name, part in sorted(self.parts.items()))
        return sha256(lines.encode()).hexdigest()


def lacks(system: System, manifest: Manifest) -> tuple[str, ...]:
    """What a profile lacks to serve a system: parts by name, and the threshold; nothing where it serves it."""
    missing = [part for part in (*edge_parts(system), *cloud_parts(system)) if part not in manifest.parts]
    if system.takes_threshold and system.name not in manifest.thresholds:
        missing.append(A_THRESHOLD)
    return tuple(missing)


def available_systems(manifest: Manifest) -> tuple[str, ...]:
    """The systems that a profile serves."""
    return tuple(name for name, system in SYSTEMS.items() if not lacks(system, manifest))


def read_parts(profile: str, folder: Path) -> dict[str, Part]:
    """The parts that a profile has so far, complete or not. Raises WeightsError where there is no manifest."""
    path = folder / profile / MANIFEST
    try:
        content = json.loads(path.read_text())
        return TypeAdapter(dict[str, Part]).validate_python(content["parts"])
    except FileNotFoundError:
        raise WeightsError(f"profile {profile} has no weights in {folder}: its backbone is not trained yet") from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise WeightsError(f"{path} is not a manifest: {error}") from error


def read_manifest(profile: str, folder: Path = WEIGHTS_FOLDER) -> Manifest:
    """The manifest of a profile. Raises WeightsError where there is none or it is not complete."""
    path = folder / profile / MANIFEST
    try:
        manifest = Manifest.model_validate(json.loads(path.read_text()))
    except FileNotFoundError:
        raise WeightsError(f"profile {profile} has no weights in {folder}: it is not trained yet") from None
    except (ValueError, ValidationError) as error:
        raise WeightsError(f"{path} is not a manifest: {error}") from error
    missing = {*EDGE_PARTS, *CLOUD_PARTS} - manifest.parts.keys()
    if missing or manifest.profile != profile:
        raise WeightsError(f"{path} does not describe all of {profile}: missing {', '.join(sorted(missing)) or 'name'}")
    return manifest


def available_profiles(folder: Path = WEIGHTS_FOLDER) -> dict[str, Manifest | None]:
    """Every profile of the catalogue, with its manifest, or None where it cannot serve the default system yet."""
    found: dict[str, Manifest | None] = {}
    for name in PROFILES:
        try:
            manifest = read_manifest(name, folder)
        except WeightsError:
            found[name] = None
        else:
            found[name] = manifest if DEFAULT_SYSTEM in available_systems(manifest) else None
    return found


def file_of(name: str, profile: str, folder: Path) -> Path:
    """Where a part lies: with its profile, or with the one whose backbone that has."""
    own = folder / profile / f"{name}.safetensors"
    base = PROFILES[profile].base if profile in PROFILES else None
    return own if base is None or own.is_file() else folder / base / own.name


def load_part(part: nn.Module, name: str, profile: str, parts: Mapping[str, Part], folder: Path) -> None:
    """Fill one network from its file. Raises WeightsError where the file is absent, another, or of another network."""
    path = file_of(name, profile, folder)
    if name not in parts or not path.is_file():
        raise WeightsError(f"{path} is missing")
    if sha256(path.read_bytes()).hexdigest() != parts[name].sha256:
        raise WeightsError(f"{path} is not the file that its manifest names (sha256 differs)")
    try:
        values = {key: value.float() for key, value in load_file(path).items()}
        missing, unexpected = part.load_state_dict(values, strict=False)
    except (RuntimeError, SafetensorError) as error:
        first, *more = str(error).splitlines()[1:] or [str(error)]
        others = f" (and {len(more)} more)" if more else ""
        raise WeightsError(f"{path} does not fit the network {name}: {first.strip()}{others}") from None
    if [key for key in missing if not key.endswith("num_batches_tracked")] or unexpected:
        raise WeightsError(f"{path} does not fit the network {name}")


def _load_parts(networks: nn.ModuleDict, manifest: Manifest, folder: Path) -> None:
    for name, part in networks.items():
        load_part(part, name, manifest.profile, manifest.parts, folder)
    networks.requires_grad_(False).eval()


def load_edge(profile: Profile, manifest: Manifest, folder: Path = WEIGHTS_FOLDER) -> EdgeNetworks:
    """The edge's networks with their weights, in evaluation mode. Raises WeightsError."""
    networks = EdgeNetworks(profile, [name for name in ALL_EDGE_PARTS if name in manifest.parts])
    _load_parts(networks, manifest, folder)
    return networks


def load_cloud(profile: Profile, manifest: Manifest, folder: Path = WEIGHTS_FOLDER) -> CloudNetworks:
    """The cloud's networks with their weights, in evaluation mode. Raises WeightsError."""
    networks = CloudNetworks(profile, [name for name in ALL_CLOUD_PARTS if name in manifest.parts])
    _load_parts(networks, manifest, folder)
    return networks
