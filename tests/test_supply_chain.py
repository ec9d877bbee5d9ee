# SPDX-License-Identifier: Apache-2.0
"""What is installed beside the project: versions pinned, licences known and agreed to, advisories asked for."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILES = ("constraints.txt", "audit.txt")
#: Those that ask for little more than to be named.
AGREED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC",
    "MIT", "MIT-CMU", "PSF-2.0", "Zlib",
}  # fmt: skip  # a list of names
#: Changes to its own files have to be published. For tools that are not shipped.
FOR_TOOLS = AGREED | {"MPL-2.0"}
EXTRAS = ("", "node", "edge", "cloud", "models", "demo", "reproduce")
#: Installed with --no-deps (Makefile).
ALONE = "spikingjelly"
#: PyTorch asks for it at any version; a virtual environment may bring its own, and `pip freeze` leaves it out.
BROUGHT_BY_PYTHON = {"setuptools"}


def pins(file: str = "constraints.txt") -> dict[str, str]:
    """Name -> version; fails the test for a line that says anything else."""
    found = {}
    for line in (ROOT / "requirements" / file).read_text().splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)", line)
            assert match, f"{file}: {line!r} is not NAME==VERSION"
            found[canonicalize_name(match[1])] = match[2]
    return found


def listed() -> dict[str, tuple[str, str]]:
    """Of docs/licences.md: name -> version and licence."""
    rows = re.findall(r"^\| (\S+) \| (\d\S*) \| (.+) \|$", (ROOT / "docs" / "licences.md").read_text(), re.MULTILINE)
    return {canonicalize_name(name): (version, licence) for name, version, licence in rows}


def closure(*extras: str) -> set[str]:
    """All that these extras install, what is required by what is required included, as installed here."""
    seen: set[tuple[str, str]] = set()

    def walk(name: str, extra: str) -> Iterator[str]:
        if (name, extra) in seen:
            return
        seen.add((name, extra))
        yield name
        for requirement in map(Requirement, distribution(name).requires or ()):
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            if applies and not _pinned_by_who_asks(requirement):
                for wanted in ("", *requirement.extras):
                    yield from walk(canonicalize_name(requirement.name), wanted)

    found = {name for extra in extras for name in walk("spikelink", extra)}
    return (found | {ALONE}) - {"spikelink", *BROUGHT_BY_PYTHON}


def _pinned_by_who_asks(requirement: Requirement) -> bool:
    """As PyTorch's builds for CUDA pin NVIDIA's libraries, which no other build brings."""
    return canonicalize_name(requirement.name) not in pins() and str(requirement.specifier).startswith("==")


@pytest.mark.parametrize("file", FILES)
def test_a_pin_is_a_name_and_one_version(file: str) -> None:
    assert len(pins(file)) > 20


@pytest.mark.parametrize("extra", [*EXTRAS, "dev"])
def test_all_that_an_extra_installs_is_pinned_and_here_in_that_version(extra: str) -> None:
    """The requirements' own requirements, too: an unpinned one would be another tomorrow."""
    found = closure(extra)
    assert len(found) > 5
    unpinned = {name for name in found if name not in pins()}
    assert not unpinned, "make constraints"
    installed = {name: distribution(name).version.partition("+")[0] for name in found}
    assert installed == {name: pins()[name] for name in found}


def test_every_pinned_distribution_has_a_licence_that_was_agreed_to() -> None:
    assert {name: version for name, (version, _) in listed().items()} == pins(), "make licences"
    shipped = closure(*EXTRAS)
    for name, (_, licence) in listed().items():
        agreed = AGREED if name in shipped else FOR_TOOLS
        parts = [alternative.split(" AND ") for alternative in licence.split(" OR ")]
        assert any(set(part) <= agreed for part in parts), f"{name}: {licence}"


def test_the_licences_are_those_that_the_installed_distributions_state() -> None:
    command = [sys.executable, "requirements/licences.py"]
    stated = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert stated == (ROOT / "docs" / "licences.md").read_text(), "make licences"


CLEAN = {"name": "jinja2", "version": "3.1.6", "vulns": []}
UNKNOWN = {"name": "numpy", "skip_reason": "Dependency not found and could not be audited: numpy (2.4.6)"}
VULNERABLE = {"name": "jinja2", "version": "2.10", "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"]}]}
AUDITS = [
    ([CLEAN, CLEAN], "2 pinned versions, 0 advisories", 0, 0),
    ([CLEAN, VULNERABLE], "jinja2 2.10: PYSEC-2019-217, mended in 2.10.1", 1, 1),
    ([VULNERABLE, UNKNOWN], "jinja2 2.10: PYSEC-2019-217", 1, 1),
    ([CLEAN, UNKNOWN], "NOT AUDITED: the database does not know numpy", 0, 1),
    ([UNKNOWN, UNKNOWN], "NOT AUDITED: no advisory database", 0, 1),
    (None, "NOT AUDITED: no advisory database", 0, 1),
]


@pytest.mark.parametrize(("found", "said", "status", "required"), AUDITS)
def test_an_audit_that_could_not_be_is_told_from_one_that_found_nothing(
    tmp_path: Path, found: list[object] | None, said: str, status: int, required: int
) -> None:
    """pip-audit, in whose place a script answers here, ends alike in both."""
    answer = "" if found is None else json.dumps({"dependencies": found, "fixes": []})
    (tmp_path / "answer").write_text(answer)
    script = f'#!/bin/sh\nwhile [ "$1" != --output ]; do shift; done\ncat {tmp_path / "answer"} > "$2"\nexit 1\n'
    (tmp_path / "pip-audit").write_text(script)
    (tmp_path / "pip-audit").chmod(0o755)
    command = [sys.executable, "requirements/audit.py", str(tmp_path / "pip-audit")]
    for value, expected in (("", status), ("1", required)):
        environment = {**os.environ, "SPIKELINK_REQUIRE_AUDIT": value}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert said in done.stdout + done.stderr
        assert done.returncode == expected


def test_the_audit_is_part_of_ci_and_asks_again_every_week() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "make audit" in (ROOT / ".ci" / "run").read_text()
    assert re.search(r"schedule:\n +- cron: ", workflow)
    jobs = re.findall(r"- run: (\S+.*)\n +env:\n(?: +[A-Z#].*\n)*? +SPIKELINK_REQUIRE_AUDIT: \"1\"", workflow)
    assert jobs == [".ci/run", "make audit"]
    uses = re.findall(r"uses: (\S+)", workflow)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), "an action's tag can be moved, a commit cannot"
