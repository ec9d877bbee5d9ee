# SPDX-License-Identifier: Apache-2.0
"""Every line of docs/faults.md, and of docs/protocol.md on what the cloud answers, names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def faults() -> list[str]:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| fault |")]


def answers() -> list[str]:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    table = text.partition("| arrives | answer | test |\n|---|---|---|\n")[2].partition("\n\n")[0]
    return table.splitlines()


@pytest.mark.parametrize(("rows", "least"), [(faults(), 20), (answers(), 12)], ids=["faults", "answers"])
def test_each_line_names_tests_that_exist(rows: list[str], least: int) -> None:
    assert len(rows) >= least
    for row in rows:
        named = NAMED.findall(row)
        assert named, row
        for file, name in named:
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), f"{file}::{name}"
