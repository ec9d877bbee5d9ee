# SPDX-License-Identifier: Apache-2.0
"""Passes that another machine has measured: where their units lie, how they are named, and what that machine is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from experiments.evaluation.parts import Spec
from experiments.evaluation.units import UnitStore

#: In a profile's folder of a folder of runs, the record of the machine that measured it.
MEASURED_ON: Final = "measured-on.json"


def units_of(runs: Path) -> UnitStore:
    """The units that this machine keeps, and adds to."""
    return UnitStore(runs / "units")


def measured_elsewhere(spec: Spec, runs: Path) -> tuple[Spec, UnitStore, dict[str, Any]]:
    """What the other machine measured with, its units, and its record. Raises ValueError where there is none."""
    path = runs / spec.profile / MEASURED_ON
    try:
        record = json.loads(path.read_text())
        kind = "cpu" if record["device"] == "cpu" else "cuda"
        named = replace(spec, device=kind, torch=str(record["versions"]["torch"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"in {runs} {spec.profile} was not measured to its end with 'spikelink reproduce --measure-only'"
        ) from error
    return named, replace(units_of(runs), read_only=True), record
