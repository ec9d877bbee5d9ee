# SPDX-License-Identifier: Apache-2.0
"""``spikelink data fetch|verify``: CIFAR-100 from its home page, and whether what is there is whole."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import CommandError
from cli.options import DATA

if TYPE_CHECKING:
    from experiments.data.download import Report
    from experiments.data.official import Split

data = typer.Typer(help="Get CIFAR-100, and check it.")


@data.command()
def fetch(
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", envvar="SPIKELINK_DATA", help="Folder for its files.")
    ] = DATA,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="A mirror of the archive; its home page's own unless given.")
    ] = None,
) -> None:
    """Download CIFAR-100's binary version, check it and unpack it; goes on where an earlier try broke off."""
    from experiments.data.download import DownloadError
    from experiments.data.fetch import fetch as fetched
    from experiments.data.official import BINARY_URL, DataSetMissingError

    try:
        with _progress() as report:
            counts = fetched(destination, url or BINARY_URL, report)
    except (DownloadError, DataSetMissingError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or destination} cannot be written: {error.strerror or error}") from None
    except KeyboardInterrupt:
        raise CommandError("interrupted: the same command goes on from what has arrived") from None
    _tell(destination, counts)


@data.command()
def verify(
    source: Annotated[
        Path, typer.Argument(metavar="PATH", envvar="SPIKELINK_DATA", help="Its folder, or an archive of it.")
    ] = DATA,
) -> None:
    """Read all of CIFAR-100 where it lies, and count images and classes."""
    from experiments.data.cifar100 import DataSetMissingError, check

    try:
        _tell(source, check(source))
    except DataSetMissingError as error:
        raise CommandError(str(error)) from None


def _tell(path: Path, counts: "Mapping[Split, int]") -> None:
    images = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    typer.echo(f"CIFAR-100 is in {path}: {images} images")


@contextmanager
def _progress() -> "Iterator[Report]":
    """A bar, from the first bytes on."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from cli.terminal import output

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=output())

    def report(done: int, total: int | None) -> None:
        if not progress.tasks:
            progress.start()
            progress.add_task("", completed=done)
        progress.update(progress.tasks[0].id, completed=done, total=total)

    try:
        yield report
    finally:
        if progress.tasks:
            progress.stop()
