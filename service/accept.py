# SPDX-License-Identifier: Apache-2.0
"""Which of two media types a caller would rather have: the Accept header, RFC 9110, section 12.5.1."""

import re
from typing import Final

_WEIGHT: Final = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def prefers(accept: str, wanted: str, default: str) -> bool:
    """Whether a caller would rather have one type than the one that it gets unless it says so."""
    weights = _weights(accept)
    return _weight(weights, wanted) > _weight(weights, default)


def _weights(accept: str) -> dict[str, float]:
    """The weight of each media range; parameters other than q are ignored, and a q that is none counts as 0."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        given = [parameter for parameter in parameters if parameter.startswith("q=")]
        found = _WEIGHT.fullmatch(given[0]) if given else None
        weights[name] = float(found[1]) if found else float(not given)
    return weights


def _weight(weights: dict[str, float], media_type: str) -> float:
    """That of the most specific range which covers a type; 0 where none does."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[name] for name in ranges if name in weights), 0.0)
