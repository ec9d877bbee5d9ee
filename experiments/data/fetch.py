# SPDX-License-Identifier: Apache-2.0
"""CIFAR-100's binary version from its home page into a folder: whole or not at all."""

import fcntl
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from experiments.data import cifar100, official
from experiments.data.download import DownloadError, Report, download
from experiments.data.official import DataSetMissingError, Split

_BY_HAND: Final = (
    f"{official.BINARY.archive} can also be fetched by hand from {official.HOME_PAGE}: "
    "name it with --data or SPIKELINK_DATA"
)


def fetch(destination: Path, url: str, report: Report) -> dict[Split, int]:
    """See to it that the data set is at ``destination`` -> images by split. What is there is read, never replaced.

    The archive is kept beside it as ``*.part`` until it is whole, so that another call goes on where this one ended.
    Raises DownloadError, DataSetMissingError and OSError.
    """
    if not _is_empty(destination):
        try:
            return cifar100.check(destination)
        except DataSetMissingError as error:
            raise DataSetMissingError(f"{destination} is not empty, and nothing in it is replaced: {error}") from None
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.parent / f"{official.BINARY.archive}.part"
    with _alone(part) as file:
        try:
            download(url, official.BINARY.md5, file, report)
        except DownloadError as error:
            raise DownloadError(f"{error}; {_BY_HAND}") from None
        with TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}.") as staging:
            counts = _unpack(file, Path(staging))
            (Path(staging) / official.BINARY.folder).rename(destination)
        part.unlink()
    return counts


def _is_empty(destination: Path) -> bool:
    return not destination.exists() or (destination.is_dir() and not any(destination.iterdir()))


@contextmanager
def _alone(part: Path) -> Iterator[BufferedIOBase]:
    """The partial file, to read and to append, in one process at a time; it does not stay where it is empty."""
    with part.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError(f"another process is writing {part}: wait for it") from None
        try:
            yield file
        finally:
            file.flush()
            if part.exists() and part.stat().st_size == 0:
                part.unlink()


def _unpack(archive: BufferedIOBase, staging: Path) -> dict[Split, int]:
    """Unpack and read everything before anybody else sees it."""
    archive.seek(0)
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            tar.extractall(staging, filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataSetMissingError(f"the archive cannot be unpacked: {error}") from None
    return cifar100.check(staging / official.BINARY.folder)
