# SPDX-License-Identifier: Apache-2.0
"""What comes with an extra of the package and not with the package."""

from importlib.util import find_spec

from cli.failures import CommandError


def require_drawing(*more: str) -> None:
    """What pages and figures are made with, and ``more`` of the extra ``reproduce``; nothing is imported.

    Raises CommandError.
    """
    missing = [name for name in ("jinja2", "matplotlib", *more) if find_spec(name) is None]
    if missing:
        raise CommandError(f"{', '.join(missing)} missing: pip install '.[reproduce]'")
