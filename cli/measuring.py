# SPDX-License-Identifier: Apache-2.0
"""What every command that measures for minutes or hours has in common: its memory, and how it fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.failures import CommandError
from cli.own_process import keep_freed_memory


@contextmanager
def in_one_line() -> Iterator[None]:
    """What may be missing or go wrong, and how to go on. Raises CommandError."""
    from experiments.data.cifar100 import DataSetMissingError
    from experiments.evaluation.measure import WorkerDiedError
    from experiments.training.checkpoints import ResumeError
    from experiments.training.loop import DivergedError
    from models.weights import WeightsError

    keep_freed_memory()
    try:
        yield
    except (DataSetMissingError, WeightsError, ResumeError, DivergedError, WorkerDiedError, ValueError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:  # a full disk, a folder that may not be written
        raise CommandError(f"{error.strerror}: {error.filename}" if error.filename else str(error)) from error
    except KeyboardInterrupt:
        raise CommandError("interrupted: the same command goes on with what is not finished") from None
