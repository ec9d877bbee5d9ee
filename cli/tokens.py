# SPDX-License-Identifier: Apache-2.0
"""``spikelink tokens FOLDER``: the two secrets that nodes share, as files, so that they stand in no command or log."""

import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Final

import typer

from cli.failures import CommandError

#: Name -> mode. In the images edge and cloud are in the owner's group and read the first; the channel owns both.
TOKEN_FILES: Final = {"token": 0o440, "admin_token": 0o400}


def tokens(
    folder: Annotated[Path, typer.Argument(help="Folder for the files; made where it is absent.", show_default=False)],
) -> None:
    """Make the nodes' secrets, FOLDER/token and FOLDER/admin_token, each only where it is absent."""
    try:
        write_tokens(folder)
    except OSError as error:
        raise CommandError(f"the token files cannot be written to {folder}: {error.strerror}") from None


def write_tokens(folder: Path) -> None:
    """Make ``token`` and ``admin_token`` in a folder, each only where it is absent, whole or not at all.

    Raises OSError where the folder cannot be written.
    """
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for name, mode in TOKEN_FILES.items():
        if not (folder / name).exists():
            _write_new(folder / name, secrets.token_urlsafe(32), mode)


def _write_new(path: Path, text: str, mode: int) -> None:
    with NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".new") as file:
        file.write(text + "\n")
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.link(file.name, path)  # unlike a rename it fails where another process was first
