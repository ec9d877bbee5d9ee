# SPDX-License-Identifier: Apache-2.0
"""The images of commands that bring their own: CIFAR-100's test images where they are, else the photographs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cli.failures import CommandError
from cli.options import DATA
from cli.photographs import photographs, write_by_class

if TYPE_CHECKING:
    from experiments.sweeps.spec import Images


@contextmanager
def sample_images(data: Path | None, count: int) -> "Iterator[tuple[Images, Path]]":
    """The first ``count`` by id, or as many as there are, and where CIFAR-100 lies. Raises CommandError.

    ``data`` is CIFAR-100's place where one is given; without it, the usual place is tried.
    """
    from experiments.data.cifar100 import is_there
    from experiments.sweeps.spec import Images

    folder = data or (DATA if is_there(DATA, "test") else None)
    if folder is not None:
        yield Images(data_set="cifar100-test", count=min(count, _test_images(folder))), folder
        return
    with TemporaryDirectory(prefix="spikelink-photographs-") as name:
        write_by_class(photographs(), Path(name))
        yield Images(folder=Path(name)), DATA


def _test_images(folder: Path) -> int:
    from experiments.data.cifar100 import DataSetMissingError, load

    try:
        return len(load(folder, "test"))
    except DataSetMissingError as error:
        raise CommandError(str(error)) from None
