# SPDX-License-Identifier: Apache-2.0
"""Profiles' folders on their way between machines.

python -m experiments.h200.carried FOLDER                  drop the parts whose files stayed behind
python -m experiments.h200.carried figures FOLDER STAGE    a stage's figures on validation images, one line
"""

import json
import sys
from pathlib import Path
from typing import Any

from experiments.training.export import write_manifest
from models.parts import cloud_parts, edge_parts
from models.systems import SYSTEMS
from models.weights import MANIFEST


def keep_what_is_there(folder: Path) -> None:
    """The baselines' figures stay in the provenance; their weights do not travel, nor their systems' thresholds."""
    manifest = json.loads((folder / MANIFEST).read_text())
    parts = {name: part for name, part in manifest["parts"].items() if (folder / f"{name}.safetensors").is_file()}
    served = {
        name: theta
        for name, theta in manifest["thresholds"].items()
        if name in SYSTEMS and {*edge_parts(SYSTEMS[name]), *cloud_parts(SYSTEMS[name])} <= parts.keys()
    }
    write_manifest(folder / MANIFEST, {**manifest, "parts": parts, "thresholds": served})


def figures(folder: Path, stage: str) -> str:
    """What the best epoch of a stage reached, as its manifest says. Raises KeyError where the stage was not run."""
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text())["provenance"][stage]
    return f"{folder} {stage} {found['duration_s']} s {json.dumps(found['metrics'])}"


def main() -> None:
    match sys.argv[1:]:
        case ["figures", folder, stage]:
            sys.stdout.write(f"{figures(Path(folder), stage)}\n")
        case [folder]:
            keep_what_is_there(Path(folder))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
