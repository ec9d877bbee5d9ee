# SPDX-License-Identifier: Apache-2.0
"""Where CIFAR-100 lies: which version is at a path, unpacked or as an archive, and the content of its files."""

import tarfile
import zlib
from dataclasses import dataclass
from hashlib import file_digest, md5
from io import BufferedIOBase
from pathlib import Path, PurePosixPath

from experiments.data import official
from experiments.data.official import DataSetMissingError, Half, Version


@dataclass(frozen=True)
class Place:
    """One version at a path: the folder with its files, or its archive."""

    version: Version
    path: Path

    def read(self, name: str) -> bytes | None:
        """The content of one of the version's files; None where it is absent. Raises DataSetMissingError."""
        try:
            if self.path.is_dir():
                file = self.path / name
                return file.read_bytes() if file.is_file() else None
            return _member(self.path, PurePosixPath(self.version.folder, name))
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise DataSetMissingError(f"{self.path} is damaged: {error}") from None
        except OSError as error:
            raise DataSetMissingError(f"{self.path} cannot be read: {error.strerror or error}") from None


def find(source: Path, half: Half) -> Place:
    """The version that holds the training or test set at ``source``, an archive or a folder with files or archives.

    Files come before archives and the binary version before the other. Raises DataSetMissingError.
    """
    if source.is_file():
        return Place(_version_of(source), source)
    for folder in (source, *(source / version.folder for version in official.VERSIONS)):
        for version in official.VERSIONS:
            if (folder / version.file(half)).is_file():
                return Place(version, folder)
    for version in official.VERSIONS:
        archive = source / version.archive
        if archive.is_file():
            return Place(_version_of(archive), archive)
    files = [f"{version.file(half)} ({version.folder})" for version in official.VERSIONS]
    archives = [version.archive for version in official.VERSIONS]
    raise DataSetMissingError(
        f"no CIFAR-100 {'test' if half == 'test' else 'training'} set in {source}: looked for {', '.join(files)}, "
        f"{' and '.join(archives)}; get it by 'spikelink data fetch' or from {official.HOME_PAGE}, "
        "and name its folder or archive with --data"
    )


def md5_of(file: BufferedIOBase) -> str:
    """The md5 of an open file, from its beginning: a check against damage, as the home page publishes it."""
    file.seek(0)
    return file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()


def _version_of(archive: Path) -> Version:
    """By content, whatever the file is called."""
    try:
        with archive.open("rb") as file:
            found = md5_of(file)
    except OSError as error:
        raise DataSetMissingError(f"{archive} cannot be read: {error.strerror or error}") from None
    for version in official.VERSIONS:
        if found == version.md5:
            return version
    known = " and ".join(f"{version.archive} has {version.md5}" for version in official.VERSIONS)
    raise DataSetMissingError(
        f"{archive} is no official archive of CIFAR-100, or damaged: its md5 is {found}; {known} ({official.HOME_PAGE})"
    )


def _member(archive: Path, name: PurePosixPath) -> bytes | None:
    """A regular file inside an archive, of which nothing is unpacked to disk."""
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.isreg() and PurePosixPath(member.name) == name:
                content = tar.extractfile(member)
                return content.read() if content else None
    return None
