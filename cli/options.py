# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and the secrets that they name."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.failures import CommandError

LOOPBACK: Final = "127.0.0.1"
DASHBOARD_PORT: Final = 8000
EDGE_PORT: Final = 8001
CHANNEL_PORT: Final = 8002
CLOUD_PORT: Final = 8003
EDGE_URL: Final = f"http://{LOOPBACK}:{EDGE_PORT}"
CHANNEL_URL: Final = f"http://{LOOPBACK}:{CHANNEL_PORT}"
CLOUD_URL: Final = f"http://{LOOPBACK}:{CLOUD_PORT}"
DATA: Final = Path("data/cifar-100-binary")
MAX_INDEX: Final = 2**53 - 1
#: ``client.TIMEOUT_S``, which is not loaded for a command's help; a test compares them.
TIMEOUT_S: Final = 65.0

EdgeUrl = Annotated[str, typer.Option("--edge", envvar="SPIKELINK_EDGE", metavar="URL", help="The edge.")]
ChannelUrl = Annotated[str, typer.Option("--channel", envvar="SPIKELINK_CHANNEL", metavar="URL", help="The channel.")]
CloudUrl = Annotated[str, typer.Option("--cloud", envvar="SPIKELINK_CLOUD", metavar="URL", help="The cloud.")]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", envvar="SPIKELINK_TOKEN_FILE", metavar="FILE", help="File with the bearer token."),
]
AdminTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar=["SPIKELINK_ADMIN_TOKEN_FILE", "SPIKELINK_TOKEN_FILE"],
        metavar="FILE",
        help="File with the channel's admin token.",
    ),
]
DataPath = Annotated[
    Path, typer.Option("--data", envvar="SPIKELINK_DATA", metavar="PATH", help="CIFAR-100: its folder, or an archive.")
]
WeightsPath = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        envvar="SPIKELINK_WEIGHTS",
        metavar="FOLDER",
        help="Folder of the weights; the project's own unless given.",
        show_default=False,
    ),
]
RunsPath = Annotated[
    Path,
    typer.Option("--runs", envvar="SPIKELINK_RUNS", metavar="FOLDER", help="Checkpoints, features, measured pieces."),
]
RUNS: Final = Path("runs")
Timeout = Annotated[float, typer.Option("--timeout-s", min=0.001, max=3600, help="Longest wait for an answer.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON and nothing else.")]


class Device(StrEnum):
    """Where networks run; ``auto`` is CUDA where there is one."""

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"

    def resolved(self) -> str:
        """``cpu`` or ``cuda``. Raises CommandError where CUDA is asked for and absent."""
        from models.inference import choose_device

        try:
            return choose_device(self.value).type
        except ValueError as error:
            raise CommandError(str(error)) from None


def check_profile(name: str) -> None:
    """Raises CommandError for a name that no profile has."""
    from models.profiles import PROFILES

    if name not in PROFILES:
        raise CommandError(f"there is no profile {name!r}: there are {', '.join(PROFILES)}")


def read_token(path: Path | None, *variables: str) -> str | None:
    """The token in a file, else in the first of these variables, SPIKELINK_TOKEN by default. Raises CommandError."""
    if path is None:
        return next((os.environ[name] for name in variables or ("SPIKELINK_TOKEN",) if os.environ.get(name)), None)
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CommandError(f"the token file {path} cannot be read: {reason}") from None
    if not token.isascii() or not token.isprintable() or not token:
        raise CommandError(f"the token file {path} holds no token: one line of printable ASCII is needed")
    return token
