# SPDX-License-Identifier: Apache-2.0
"""docs/extend.md, done as it stands in a copy of the repository: files, patches, commands and what they print."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_cifar import HELD_OUT, write_toy_cifar

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "extend.md"
COPIED = ("channel", "models", "service", "client", "experiments", "cli", "weights", "tests", "pyproject.toml")
_BLOCK = re.compile(r"(?:`(?P<name>[\w/.]+)`\n\n)?```(?P<kind>python|diff|console)\n(?P<text>.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository, and in the place of CIFAR-100 some made-up images with their own validation split."""
    folder = tmp_path_factory.mktemp("extended")
    for name in COPIED:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / name, ignore=ignored) if source.is_dir() else shutil.copy(source, folder)
    data = write_toy_cifar(folder / "data" / "cifar-100-binary", train=80, validation=20)
    shutil.copy(data / HELD_OUT, folder / "experiments" / "data" / "cifar100_validation_ids.txt")
    return folder


def patch(folder: Path, text: str) -> None:
    """Replace the lines of each hunk, which must stand in the file exactly once."""
    for part in re.split(r"^--- ", text, flags=re.MULTILINE)[1:]:
        name, *hunks = re.split(r"^@@\n", part, flags=re.MULTILINE)
        path = folder / name.strip()
        content = path.read_text()
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            assert content.count(old) == 1, f"{name.strip()} does not have once:\n{old}"
            content = content.replace(old, "".join(line[1:] for line in lines if line[0] in " +"))
        path.write_text(content)


def run(folder: Path, text: str) -> None:
    """Run the commands of a console block and compare what they print, where the page shows it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPIKELINK_")}
    environment |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, flags=re.MULTILINE):
        own = re.sub(r"^python\b", sys.executable, re.sub(r"^spikelink\b", "python -m cli", command))
        script = ["bash", "-o", "pipefail", "-c", own]
        done = subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if shown:
            assert done.stdout == shown, command


def test_the_page_does_what_it_says(copy: Path) -> None:
    done = []
    for block in _BLOCK.finditer(PAGE.read_text()):
        kind, text = block["kind"], block["text"]
        if kind == "python":
            (copy / block["name"]).write_text(text)
        elif kind == "diff":
            patch(copy, text)
        else:
            run(copy, text)
        done.append(kind)
    assert done.count("python") == 5
    assert (done.count("diff"), done.count("console")) == (3, 5)
    kept = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--quiet", *COPIED[:6]], cwd=copy, capture_output=True, text=True
    )
    assert kept.returncode == 0, kept.stdout
