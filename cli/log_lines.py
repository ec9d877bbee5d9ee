# SPDX-License-Identifier: Apache-2.0
"""A node's log lines for reading: its JSON documents as the event and what belongs to it."""

import json
from typing import Final

_KNOWN_ANYWAY: Final = frozenset({"event", "role", "timestamp", "level", "logger"})


def readable(line: str) -> str:
    """The line without JSON's signs; a line of any other form stays as it is."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "event" not in record:
        return line
    level = record.get("level", "info")
    words = [] if level == "info" else [f"{level}:"]
    words += [str(record["event"]), *(f"{name}={value}" for name, value in record.items() if name not in _KNOWN_ANYWAY)]
    return " ".join(words)
