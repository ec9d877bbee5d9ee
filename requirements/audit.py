# SPDX-License-Identifier: Apache-2.0
"""Ask pip-audit's advisory database about every pinned version; ``make audit`` runs it where pip-audit is installed.

Exit status 1: there are advisories. 0: there are none, or there was nobody to ask, which is said aloud; with
SPIKELINK_REQUIRE_AUDIT=1 that is a failure, too. pip-audit itself calls clean what its database does not know.

    python requirements/audit.py .audit/bin/pip-audit
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

FOLDER = Path(__file__).resolve().parent
PINNED = (FOLDER / "constraints.txt", FOLDER / "audit.txt")
#: Seconds; where the network drops packets pip-audit would wait for each version on its own.
PATIENCE_S = 300


def report(pip_audit: str) -> list[dict[str, Any]] | None:
    """What pip-audit found of each version; None where it came to no answer."""
    with TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        files = [word for path in PINNED for word in ("--requirement", str(path))]
        options = [
            "--no-deps",
            "--disable-pip",
            "--progress-spinner",
            "off",
            "--format",
            "json",
            "--output",
            str(found),
        ]
        try:
            subprocess.run([pip_audit, *files, *options], check=False, timeout=PATIENCE_S, stderr=subprocess.DEVNULL)
            answer: list[dict[str, Any]] = json.loads(found.read_text())["dependencies"]
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
            return None
    return answer


def main(pip_audit: str) -> int:
    """The exit status; what was found is printed."""
    found = report(pip_audit) or []
    audited = [entry for entry in found if "skip_reason" not in entry]
    advisories = [(entry, advisory) for entry in audited for advisory in entry["vulns"]]
    for entry, advisory in advisories:
        fixed = ", ".join(advisory.get("fix_versions", ())) or "nowhere yet"
        say(f"{entry['name']} {entry['version']}: {advisory['id']}, mended in {fixed}")
    silent = [str(entry["name"]) for entry in found if "skip_reason" in entry]
    if not audited:
        say("NOT AUDITED: no advisory database could be reached, or it knows none of the versions", sys.stderr)
    elif silent:
        say(f"NOT AUDITED: the database does not know {', '.join(silent)}", sys.stderr)
    else:
        say(f"{len(audited)} pinned versions, {len(advisories)} advisories")
    unasked = (silent or not audited) and os.environ.get("SPIKELINK_REQUIRE_AUDIT") == "1"
    return 1 if advisories or unasked else 0


def say(line: str, to: TextIO = sys.stdout) -> None:
    to.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
