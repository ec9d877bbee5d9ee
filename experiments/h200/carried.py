# SPDX-License-Identifier: Apache-2.0
"""``python -m experiments.h200.carried FOLDER``: take from a profile's manifest the parts whose files stayed behind."""

import json
import sys
from pathlib import Path

from experiments.training.export import write_manifest
from models.weights import MANIFEST


def keep_what_is_there(folder: Path) -> None:
    """The baselines' figures stay in the provenance; their weights do not travel."""
    manifest = json.loads((folder / MANIFEST).read_text())
    parts = {name: part for name, part in manifest["parts"].items() if (folder / f"{name}.safetensors").is_file()}
    write_manifest(folder / MANIFEST, {**manifest, "parts": parts})


if __name__ == "__main__":
    keep_what_is_there(Path(sys.argv[1]))
