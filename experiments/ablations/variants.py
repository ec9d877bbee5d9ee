# SPDX-License-Identifier: Apache-2.0
"""The variants of the spiking codec: each differs from ``control`` in what its name says, and in nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from experiments.ablations.informed import InformedCodec, InformedSpec
from experiments.evaluation.parts import Spec
from experiments.training.codecs import Codec
from experiments.training.draws import MAX_TRAINING_BER, Draws
from models.profiles import Profile

CONTROL: Final = "control"
#: The weights as they come with the profile, without further training: measured beside the variants.
SHIPPED: Final = "shipped"


@dataclass(frozen=True)
class Variant:
    """What a codec is trained over, and whether its converter is told p."""

    name: str
    what: str
    max_ber: float = MAX_TRAINING_BER
    high_share: float = 0.0
    informed: bool = False

    def draws(self, profile: Profile) -> Draws:
        """t as the profile sends it, p as the variant has it."""
        return Draws(profile.t0, profile.max_steps, self.max_ber, self.high_share)

    def codec(self, profile: Profile) -> Codec:
        """Its batch norm keeps the statistics of the shipped weights, as in their own last training."""
        codec = InformedCodec if self.informed else Codec
        return codec(profile.backbone.feature_channels, profile.max_steps, keep_norm=True)

    def spec(self, profile: Profile, weights: Path, device: str) -> Spec:
        """The trained variant in a weights folder, for measurements."""
        return (InformedSpec if self.informed else Spec)(profile.name, weights, device)


VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant(CONTROL, "trained as the profile is, BERs to 0.3"),
        Variant("max-ber-0.4", "BERs to 0.4 in training", max_ber=0.4),
        Variant("high-ber-share-0.5", "BERs to 0.4, half of the images above 0.2", max_ber=0.4, high_share=0.5),
        Variant("p-in-converter", "the converter's gates see p; BERs to 0.3", informed=True),
    )
}
