# SPDX-License-Identifier: Apache-2.0
"""The JSON of ablations: where it lies, how it is read. Loads no torch."""

import json
from pathlib import Path

from experiments.figures.results import ResultsMissingError, Row


def path_of(docs: Path, ablation: str, profile: str) -> Path:
    """Where an ablation's JSON lies."""
    return docs / "results" / "ablations" / f"{ablation}-{profile}.json"


def records_in(docs: Path, ablation: str) -> list[Row]:
    """The ablation's records of all profiles, none where it has not been run."""
    folder = docs / "results" / "ablations"
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{ablation}-*.json"))]


def require(records: list[Row], docs: Path) -> None:
    """Raises ResultsMissingError where there is nothing to write a page from."""
    if not records:
        raise ResultsMissingError(f"no ablations in {docs / 'results'}: run spikelink ablate codec first")
