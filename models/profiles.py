# SPDX-License-Identifier: Apache-2.0
"""Profiles: a backbone, its codecs and SimNet, and the HARQ parameters, under one name.

Shapes   none
Units    t in time steps; tile in rows; thresholds as the system's score (a similarity, a margin or an outlook).
Math     none
Source   t0 = 4 and T = 8: Section III-A of arXiv 2310.08804, with resnet50.
Differs  resnet18 is our own, for machines without a GPU; resnet18-t1 may stop after one step (docs/decisions/0016).
         Thresholds come with the weights, chosen on validation.
"""

from dataclasses import dataclass
from typing import Final

from models.catalogue import by_name
from models.frames import HarqParameters
from models.inference import SAFE_TILE
from models.networks.backbone import RESNET18, RESNET50, CutBackbone
from models.networks.codec import GRID


@dataclass(frozen=True)
class Profile:
    """What a name such as ``resnet18`` stands for; weights are found under the same name.

    ``base`` is the profile whose backbone this one has too: the backbone's files are found there. ``tile`` is what
    batches are padded to a multiple of, measured for this backbone and its SimNet (docs/decisions/0002).
    """

    name: str
    backbone: CutBackbone
    t0: int = 4
    max_steps: int = 8
    base: str | None = None
    tile: int = SAFE_TILE

    @property
    def backbone_owner(self) -> str:
        """The profile with whose weights the backbone lies."""
        return self.base or self.name

    @property
    def harq(self) -> HarqParameters:
        return HarqParameters(self.t0, self.max_steps, self.backbone.feature_channels * GRID * GRID)


PROFILES: Final = by_name(
    Profile("resnet18", RESNET18, tile=4),
    Profile("resnet18-t1", RESNET18, t0=1, base="resnet18", tile=4),
    Profile("resnet50", RESNET50),
)
DEFAULT_PROFILE: Final = "resnet18"
