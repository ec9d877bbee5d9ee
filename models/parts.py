# SPDX-License-Identifier: Apache-2.0
"""Which networks a system needs on which side, and under which names their weights are stored.

Shapes   none
Units    none
Math     parts of a system = parts of the backbone + of its codec + of the network that decides, where one does
Source   none
Differs  none
"""

from collections.abc import Iterable, Mapping
from typing import Final

from torch import nn

from models.codecs import CODECS, PartFactory
from models.networks.outlook import Outlook
from models.networks.simnet import PriorExtractor, SimilarityEstimator
from models.profiles import Profile
from models.systems import StopRule, System

_EDGE_SHARED: Final[Mapping[str, PartFactory]] = {
    "edge": lambda profile: profile.backbone.edge_part(),
    "prior": lambda profile: PriorExtractor(profile.backbone.feature_channels),
}
_CLOUD_SHARED: Final[Mapping[str, PartFactory]] = {
    "similarity": lambda profile: SimilarityEstimator(profile.backbone.feature_channels),
    "outlook": lambda profile: Outlook(),
    "head": lambda profile: profile.backbone.task_head(),
}
#: The network by which a stop rule goes.
_DECIDING: Final[Mapping[StopRule, str]] = {StopRule.SIMILARITY: "similarity", StopRule.OUTLOOK: "outlook"}

#: Every part there is, by name: those that all codecs share, and each codec's own.
ALL_EDGE_PARTS: Final = {**_EDGE_SHARED, **{k: v for codec in CODECS.values() for k, v in codec.edge_parts.items()}}
ALL_CLOUD_PARTS: Final = {**_CLOUD_SHARED, **{k: v for codec in CODECS.values() for k, v in codec.cloud_parts.items()}}


def edge_parts(system: System) -> tuple[str, ...]:
    """What the edge needs for a system."""
    return ("edge", *system.codec.edge_parts, *(("prior",) if system.sends_prior else ()))


def cloud_parts(system: System) -> tuple[str, ...]:
    """What the cloud needs for a system."""
    deciding = (_DECIDING[system.stop],) if system.stop in _DECIDING else ()
    return (*system.codec.cloud_parts, *deciding, "head")


class EdgeNetworks(nn.ModuleDict):
    """The edge's networks by name: f_E, SimNet_E and the codecs' halves; all of them unless some are named.

    Raises KeyError for a name that is no part of the edge.
    """

    def __init__(self, profile: Profile, names: Iterable[str] = tuple(ALL_EDGE_PARTS)) -> None:
        super().__init__({name: ALL_EDGE_PARTS[name](profile) for name in names})


class CloudNetworks(nn.ModuleDict):
    """The cloud's networks by name: f_T, SimNet_D, the outlook, the codecs' halves; all of them unless some are named.

    Raises KeyError for a name that is no part of the cloud.
    """

    def __init__(self, profile: Profile, names: Iterable[str] = tuple(ALL_CLOUD_PARTS)) -> None:
        super().__init__({name: ALL_CLOUD_PARTS[name](profile) for name in names})
