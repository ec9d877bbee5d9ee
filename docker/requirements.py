# SPDX-License-Identifier: Apache-2.0
"""Write what the given extras of ``pyproject.toml`` require, one requirement a line, to standard output.

An image installs them in a layer of their own, before the code: an edit of the code then costs seconds, not minutes.

    python docker/requirements.py node cloud models | pip install --requirement /dev/stdin
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The project's own requirements and those of the extras, sorted. Raises KeyError for an unknown extra."""
    project = tomllib.loads(pyproject.read_text())["project"]
    optional = project["optional-dependencies"]
    return sorted({*project["dependencies"], *(line for extra in extras for line in optional[extra])})


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path("pyproject.toml"), sys.argv[1:])) + "\n")
