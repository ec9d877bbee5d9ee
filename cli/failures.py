# SPDX-License-Identifier: Apache-2.0
"""Failures as a user sees them: one line on stderr and a non-zero exit code, never a traceback."""

import sys
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from cli.own_process import owned

FAILED: Final = 1
MISUSED: Final = 2


class CommandError(Exception):
    """A command that cannot go on; the message is one line and says what to do."""


class OneLineErrors(TyperGroup):
    """The command group whose errors, its own and those of every command in it, take one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and leave with its exit code."""
        arguments = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            with owned(args is None):  # a test gives arguments
                code = super().main(arguments, prog_name, complete_var, False, windows_expand_args, **extra)
        except TyperException as error:
            code = _misused(error)
        except Exception as error:
            if not _is_expected(error):
                raise
            code = complain(str(error))
        sys.exit(code)


def complain(message: str) -> int:
    """Write the one line; returns the exit code that goes with it."""
    typer.echo(f"spikelink: {message}", err=True)
    return FAILED


def _misused(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = "spikelink" if context is None else context.command_path
    reason = " ".join(error.format_message().split()).replace("Value error, ", "")
    typer.echo(f"{path}: {reason[:1].lower()}{reason[1:].rstrip('.')} (see {path} --help)", err=True)
    return MISUSED


def _is_expected(error: Exception) -> bool:
    if isinstance(error, CommandError):
        return True
    # Only now, because the client costs 0.2 s that a command without it should not pay.
    from client.errors import SpikeLinkError

    return isinstance(error, SpikeLinkError)
