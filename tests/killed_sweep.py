# SPDX-License-Identifier: Apache-2.0
"""Run ``spikelink ARGUMENTS`` and kill the process, with SIGKILL, where the first arguments say.

python tests/killed_sweep.py compute|before|inside|after N ARGUMENTS...: while the N-th unit is being computed; before,
in the middle of or after the write that finishes it.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

from cli.app import main
from experiments.sweeps import link_engine
from service.stores.sweeps import SqliteSweepStore


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nth(n: int) -> Callable[[], bool]:
    """Whether this is the n-th time that one asks."""
    left = [n]

    def asked() -> bool:
        left[0] -= 1
        return left[0] == 0

    return asked


class Dying(sqlite3.Connection):
    """Dies with the transaction open."""

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and due():
            die()
        return super().execute(sql, *arguments)


finish = SqliteSweepStore.finish


async def dying_finish(store: SqliteSweepStore, sweep: str, unit: str, result: bytes) -> None:
    last = due()
    if last and moment == "before":
        die()
    await finish(store, sweep, unit, result)
    if last:
        die()


def dying_compute(*arguments: Any) -> Any:
    if due():
        die()
    return compute(*arguments)


if __name__ == "__main__":
    moment, count, *rest = sys.argv[1:]
    due = nth(int(count))
    match moment:
        case "compute":
            compute, link_engine._compute = link_engine._compute, dying_compute
        case "inside":
            connect = sqlite3.connect
            sqlite3.connect = lambda *names, **options: connect(*names, factory=Dying, **options)  # type: ignore[assignment]
        case _:
            SqliteSweepStore.finish = dying_finish  # type: ignore[method-assign]
    main(rest)
