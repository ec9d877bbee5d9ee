# SPDX-License-Identifier: Apache-2.0
"""What the page knows of a profile beside its figures: which decisions say what was tried, and how it was trained."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Aim(StrEnum):
    """What a row of the aims is about."""

    BACKBONE = "backbone"
    LOSS = "loss"
    DEFAULT_BANDWIDTH = "default bandwidth"
    RISING_BANDWIDTH = "rising bandwidth"
    TABLE1 = "Table I"
    OWN_RULE = "own rule"
    SPEARMAN = "Spearman"
    PRIOR = "prior"
    CONTROL = "control"
    ADAPTS = "adapts"
    PEARSON = "Pearson"
    LDPC = "LDPC"


_RESNET18: Final = "0014-resnet18-weights"
_EARLY: Final = "0016-stopping-early"
_DECISION: Final = "0020-decision-network"
_FRESH: Final = "0021-fresh-images"

#: By profile and aim; where a profile is not named, nothing was written down.
_TRIED: Final[Mapping[str, Mapping[Aim, tuple[str, ...]]]] = {
    "resnet18": {
        **dict.fromkeys(Aim, (_RESNET18,)),
        Aim.BACKBONE: ("0010-training", _RESNET18),
        Aim.TABLE1: (_RESNET18, _DECISION),
        Aim.OWN_RULE: (_RESNET18, _DECISION, "0022-codec-variants"),
        Aim.CONTROL: (_RESNET18, _DECISION),
        Aim.LDPC: ("0012-ldpc",),
    },
    "resnet18-t1": {
        **dict.fromkeys(Aim, (_EARLY,)),
        Aim.TABLE1: (_EARLY, _DECISION),
        Aim.OWN_RULE: (_EARLY, _DECISION),
        Aim.CONTROL: (_DECISION,),
    },
    "resnet50": {
        **dict.fromkeys(Aim, ("0018-resnet50-weights", _FRESH)),
        Aim.BACKBONE: ("0018-resnet50-weights",),
        Aim.LDPC: ("0012-ldpc",),
    },
}

#: How a profile was trained, where one must know it to compare its rows; the manifest has the commands.
_NOTES: Final = {
    "resnet50": "The spiking codec learned from ever fresh images and from the task head's word in place of the label, "
    "which departs from Eq. (4); the codecs of the 1-bit CNN and of LDPC learned from labels, on features of the "
    f"backbone's own images. So their gaps hold what that gained, too ([0021](decisions/{_FRESH}.md))."
}
#: The same in a clause.
_TRAINED_OTHERWISE: Final = {
    "resnet50": "the spiking codec alone learned from ever fresh images and from the task head's word "
    f"([0021](decisions/{_FRESH}.md))"
}


def tried(profile: str, aim: Aim) -> tuple[str, ...]:
    """The decisions, without their suffix, that say what was done about an aim."""
    return _TRIED.get(profile, {}).get(aim, ())


def note(profile: str) -> str | None:
    """How it was trained, in sentences, where that matters to a comparison."""
    return _NOTES.get(profile)


def but_for_training(profile: str) -> str:
    """What a comparison with a baseline must add, after what else it says; empty where there is nothing."""
    said = _TRAINED_OTHERWISE.get(profile)
    return f"; {said}" if said else ""
