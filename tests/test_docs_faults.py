# SPDX-License-Identifier: Apache-2.0
"""docs/faults.md names a test in every line of its tables, and each of these exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def rows() -> list[str]:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| fault |")]


def test_each_line_names_its_tests() -> None:
    assert len(rows()) > 20
    for row in rows():
        assert NAMED.search(row), row


def test_the_tests_that_are_named_exist() -> None:
    for row in rows():
        for file, name in NAMED.findall(row):
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), f"{file}::{name}"
