# SPDX-License-Identifier: Apache-2.0
"""The committed results that the page draws behind what is measured live.

Those of the default profile: copies of files in ``docs/results``, which is no part of an installed package; a test
keeps them equal.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from service.wire import Point, ReferenceResults, series_name

FOLDER: Final = Path(__file__).with_name("reference")

#: Neighbouring values of t are one time step apart.
_STEP_BITS: Final = 512
_NORMAL_95: Final = 1.96


def read_reference(folder: Path = FOLDER) -> tuple[ReferenceResults, ...]:
    """All of them, by name."""
    return tuple(_results(path) for path in sorted(folder.glob("*-test.json")))


def _results(path: Path) -> ReferenceResults:
    document = json.loads(path.read_text())
    return ReferenceResults(
        name=path.stem,
        version=document["versions"]["spikelink"],
        points=tuple(_point(row) for row in document["points"]),
        **{
            name: document[name]
            for name in ("profile", "weights_sha256", "split", "images", "seed", "backbone_accuracy")
        },
    )


def _point(row: Mapping[str, Any]) -> Point:
    accuracy, half_width = row["accuracy"], row["half_width"]
    bandwidth = row["bandwidth_bits"]
    deviation = _STEP_BITS * _deviation(row["share_by_t"])
    band = _NORMAL_95 * deviation / math.sqrt(row["images"])
    return Point(
        series=series_name(row["system"], row["theta"], row["t"]),
        accuracy_low=max(0.0, accuracy - half_width),
        accuracy_high=min(100.0, accuracy + half_width),
        bandwidth_low=bandwidth - band,
        bandwidth_high=bandwidth + band,
        **{name: row[name] for name in ("system", "theta", "t", "ber", "images", "accuracy", "bandwidth_bits")},
    )


def _deviation(share_by_t: Sequence[float]) -> float:
    """Standard deviation of the index under these shares."""
    mean = sum(index * share for index, share in enumerate(share_by_t))
    return math.sqrt(max(0.0, sum((index - mean) ** 2 * share for index, share in enumerate(share_by_t))))
