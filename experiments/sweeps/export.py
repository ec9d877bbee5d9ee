# SPDX-License-Identifier: Apache-2.0
"""The figures of a sweep as CSV and as JSON, with what they were made of. The same sweep gives the same bytes."""

import csv
import io
import json
from typing import Final

from pydantic import JsonValue

from experiments.sweeps.record import Record
from experiments.sweeps.tally import Figures, SweepTally

#: Of the CSV file; every row says by itself what it was made of.
COLUMNS: Final = (
    "system", "theta", "t", "ber", "images", "seeds", "accuracy_percent", "accuracy_low", "accuracy_high",
    "bandwidth_bits", "bandwidth_low", "bandwidth_high", "complete", "stopped_early",
    "sweep", "profile", "weights_sha256", "version",
)  # fmt: skip  # in this order, more than one a line


def as_json(tally: SweepTally) -> str:
    """One document: what the sweep is, then its points."""
    record = tally.record
    images: dict[str, JsonValue] = {
        "data_set": record.spec.images.data_set,
        "folder": str(record.spec.images.folder) if record.spec.images.folder else None,
        "first": record.spec.images.first,
        "count": record.images,
    }
    content = {
        **_origin(record),
        "name": record.spec.name,
        "arithmetic": record.arithmetic,
        "images": images,
        "seeds": list(record.spec.seeds),
        "stop_at_half_width": record.spec.stop_at_half_width,
        "complete": tally.complete,
        "points": [{**_row(figures), "seeds": list(figures.seeds)} for figures in tally.figures()],
    }
    return json.dumps(content, indent=1) + "\n"


def as_csv(tally: SweepTally) -> str:
    """A line of names and one for each point; several seeds are separated by blanks."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for figures in tally.figures():
        row = {**_row(figures), **_origin(tally.record), "seeds": " ".join(map(str, figures.seeds))}
        writer.writerow({name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()})
    return text.getvalue()


def _origin(record: Record) -> dict[str, JsonValue]:
    return {
        "sweep": record.id,
        "profile": record.spec.profile,
        "weights_sha256": record.weights_sha256,
        "version": record.version,
    }


def _row(figures: Figures) -> dict[str, JsonValue]:
    bits_low, bits_high = figures.bandwidth_interval or (None, None)
    return {
        "system": figures.point.system,
        "theta": figures.point.theta,
        "t": figures.point.t,
        "ber": figures.point.ber,
        "images": figures.images,
        "accuracy_percent": figures.accuracy,
        "accuracy_low": figures.accuracy_interval[0],
        "accuracy_high": figures.accuracy_interval[1],
        "bandwidth_bits": figures.bandwidth_bits,
        "bandwidth_low": bits_low,
        "bandwidth_high": bits_high,
        "complete": figures.complete,
        "stopped_early": figures.stopped_early,
    }
