# SPDX-License-Identifier: Apache-2.0
"""JSON of results: few decimals, and each file whole or absent."""

import json
from pathlib import Path
from typing import Any, Final

from experiments.whole_files import whole_file

#: A thousandth of a point, of a bit, of a threshold's last digit.
_DECIMALS: Final = 5


def write_json(path: Path, content: dict[str, object]) -> None:
    """Raises ValueError where a figure is no number."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(rounded(content), indent=1, allow_nan=False) + "\n")


def rounded(value: Any) -> Any:
    """Floats to a few decimals, so that machines differ in few digits."""
    if isinstance(value, dict):
        return {name: rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    return round(float(value), _DECIMALS) if isinstance(value, float) else value
