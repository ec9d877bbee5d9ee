# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all: a run may be killed while it writes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what is to lie at ``path``; it gets that name when all is written, and goes after an error.

    The name is the process's own, so that two which write the same file do not meet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
