# SPDX-License-Identifier: Apache-2.0
"""How edge and cloud find their profiles' weights and set up inference."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.codecs import Whole
from models.inference import Inference, inference_device
from models.profiles import DEFAULT_PROFILE, PROFILES, Profile
from models.systems import SYSTEMS, System
from models.threads import aligned_threads
from models.weights import WEIGHTS_FOLDER, Manifest, WeightsError, available_profiles, available_systems, lacks
from service.errors import Unprocessable
from service.node_app import base_info
from service.settings import ComputeSettings
from service.wire import NodeInfo, ProfileInfo, SystemInfo


@dataclass(frozen=True)
class ServedProfile:
    """A profile, the manifest of its weights, and how its networks run."""

    profile: Profile
    manifest: Manifest
    inference: Inference

    @property
    def name(self) -> str:
        return self.profile.name

    def system(self, name: str) -> System:
        """A system by name. Raises Unprocessable where there is none, or this profile does not serve it."""
        if name not in SYSTEMS:
            raise Unprocessable(f"there is no system {name}; there are {', '.join(SYSTEMS)}")
        if missing := lacks(SYSTEMS[name], self.manifest):
            served = ", ".join(available_systems(self.manifest))
            raise Unprocessable(
                f"profile {self.name} does not serve system {name}: it lacks {', '.join(missing)}; it serves {served}"
            )
        return SYSTEMS[name]


@dataclass(frozen=True)
class ServedProfiles:
    """The profiles that a node serves, those that have weights; PyTorch computes their passes with so many threads."""

    folder: Path
    threads: int
    by_name: Mapping[str, ServedProfile]

    def get(self, name: str | None) -> ServedProfile:
        """A profile by name, the default one for None. Raises Unprocessable where this node does not serve it."""
        if name is None:
            name = DEFAULT_PROFILE if DEFAULT_PROFILE in self.by_name else next(iter(self.by_name))
        if name not in self.by_name:
            raise Unprocessable(f"profile {name} is not available here; this node serves {', '.join(self.by_name)}")
        return self.by_name[name]

    @property
    def largest_feature(self) -> int:
        """Values in the largest feature that any of them sends."""
        return max(served.profile.harq.feature_size for served in self.by_name.values())


def served_profiles(settings: ComputeSettings) -> ServedProfiles:
    """Raises WeightsError where no profile has weights, ValueError where the device is not there."""
    folder = settings.weights or WEIGHTS_FOLDER
    device, by_name = inference_device(settings.device), {}
    for name, manifest in available_profiles(folder).items():
        if manifest is not None:
            inference = Inference(device, settings.bf16, settings.tile or PROFILES[name].tile)
            by_name[name] = ServedProfile(PROFILES[name], manifest, inference)
    if not by_name:
        raise WeightsError(f"no profile has weights in {folder}")
    return ServedProfiles(folder, settings.torch_threads or aligned_threads(), by_name)


def model_info(role: str, served: ServedProfiles, *, store: str | None = None, durable: bool | None = None) -> NodeInfo:
    """``/v1/info`` of a node that runs networks."""
    inference = next(iter(served.by_name.values())).inference  # device and precision are those of all
    details = {
        "profiles": tuple(_profile_info(name, served.by_name.get(name)) for name in PROFILES),
        "systems": {name: _system_info(system) for name, system in SYSTEMS.items()},
        "device": str(inference.device),
        "dtype": inference.dtype,
        "torch_threads": served.threads,
        "store": store,
        "durable": durable,
    }
    return NodeInfo.model_validate({**base_info(role), **details})


def _profile_info(name: str, served: ServedProfile | None) -> ProfileInfo:
    if served is None:
        return ProfileInfo(name=name, available=False)
    manifest = served.manifest
    return ProfileInfo(
        name=name,
        available=True,
        weights_sha256=manifest.weights_sha256,
        thresholds=manifest.thresholds,
        systems=available_systems(manifest),
        rates=dict(_rates(served)),
        tile=served.inference.tile,
    )


def _rates(served: ServedProfile) -> Iterator[tuple[str, tuple[int, int]]]:
    for name in available_systems(served.manifest):
        rate = SYSTEMS[name].codec.rate
        if SYSTEMS[name].takes_t and not isinstance(rate, Whole):
            yield name, rate.range(served.profile.harq)


def _system_info(system: System) -> SystemInfo:
    return SystemInfo(summary=system.summary, takes_threshold=system.takes_threshold, error_free=system.error_free)
