# SPDX-License-Identifier: Apache-2.0
"""The committed results of a profile, as ``spikelink reproduce`` wrote them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Row = Mapping[str, Any]
SECTIONS: Final = ("provenance", "thresholds", "rates", "similarity", "gaps", "decisions", "energy")


class ResultsMissingError(Exception):
    """There is no JSON to draw from; the message says what to do."""


@dataclass(frozen=True)
class Results:
    """One profile's JSON by section; ``ablated`` says whether there are ablations of its stop rules beside it."""

    profile: str
    provenance: Row
    thresholds: Row
    rates: Row
    similarity: Row
    gaps: Row
    decisions: Row
    energy: Row
    ablated: bool = False

    @property
    def bers(self) -> list[float]:
        return sorted({row["ber"] for row in self.rates["points"]})

    @property
    def shown_bers(self) -> list[float]:
        """Those of Fig. 4."""
        return sorted({row["ber"] for row in self.rates["trade_off"]})

    @property
    def harq_systems(self) -> list[str]:
        """The systems with a default threshold, in the order of the JSON."""
        return [name for name, settings in self.thresholds.items() if "default" in settings]

    @property
    def baselines(self) -> list[str]:
        """The systems with codecs of their own, where measured."""
        others = {"multi-rate", "control", "oracle-label", *self.thresholds}
        return [name for name in dict.fromkeys(row["system"] for row in self.rates["points"]) if name not in others]

    @property
    def first_backbone(self) -> Row | None:
        """The backbone as first trained; None where joint fine-tuning replaced it and no copy is left."""
        first: Row | None = self.rates["first_backbone"]
        return first

    @property
    def t0(self) -> int:
        """The time steps of a first transmission: Multi-rate's fewest."""
        return min(int(row["t"]) for row in self.points("multi-rate"))

    def points(self, system: str, setting: str | None = None) -> list[Row]:
        """A system's points by BER; of all its settings where none is named."""
        rows = where(self.rates["points"], system=system, **({"setting": setting} if setting else {}))
        return sorted(rows, key=lambda row: float(row["ber"]))

    def point(self, system: str, setting: str, ber: float) -> Row:
        return one(self.rates["points"], system=system, setting=setting, ber=ber)


def where(rows: Iterable[Row], **values: object) -> list[Row]:
    """The rows that have these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in values.items())]


def one(rows: Iterable[Row], **values: object) -> Row:
    """The one row that has these values. Raises KeyError where there is none."""
    found = where(rows, **values)
    if not found:
        raise KeyError(f"no row with {values}")
    return found[0]


def profiles_in(folder: Path) -> list[Path]:
    """The folders of profiles with results. Raises ResultsMissingError where there are none."""
    found = sorted(path.parent for path in folder.glob("*/provenance.json"))
    if not found:
        raise ResultsMissingError(f"no results in {folder}: run spikelink reproduce first")
    return found


def load_results(folder: Path) -> Results:
    """Raises ResultsMissingError where a section is absent."""
    absent = [name for name in SECTIONS if not (folder / f"{name}.json").is_file()]
    if absent:
        raise ResultsMissingError(f"{folder} has no {', '.join(absent)}: run spikelink reproduce first")
    sections = {name: json.loads((folder / f"{name}.json").read_text()) for name in SECTIONS}
    ablated = (folder.parent / "ablations" / f"decision-{folder.name}.json").is_file()
    return Results(folder.name, **sections, ablated=ablated)
