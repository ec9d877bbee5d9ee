# SPDX-License-Identifier: Apache-2.0
"""How a running sweep shows itself: units done, images per second, the time left, and what it waits for."""

import time
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.terminal import output
from experiments.sweeps.events import UnitFinished
from experiments.sweeps.tally import SweepTally


class SweepingProgress:
    """A bar over units. What was finished before counts as done, but not as speed."""

    def __init__(self) -> None:
        self._console = output()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("units  {task.fields[speed]}"),
        )
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console)
        self._task: TaskID | None = None
        self._images, self._units, self._since_s = 0, 0, 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, tally: SweepTally) -> None:
        """A sweep starts, or goes round again for what a store has lost."""
        if self._task is None:
            self._task = self._progress.add_task(f"sweep {tally.record.id[:12]}", speed="")
        self._progress.update(self._task, completed=tally.units_done, total=tally.units_total)
        self._images, self._units, self._since_s = 0, 0, time.monotonic()

    def unit_finished(self, event: UnitFinished) -> None:
        """One more; a point that has stopped early leaves fewer to come."""
        if self._task is None:
            return
        self._progress.update(self._task, completed=event.units_done, total=event.units_total)
        if not event.computed:
            return
        self._images, self._units = self._images + event.images, self._units + 1
        elapsed_s = time.monotonic() - self._since_s
        left_s = int((event.units_total - event.units_done) * elapsed_s / self._units)
        speed = f"{self._images / elapsed_s:,.0f} img/s, {left_s // 60}:{left_s % 60:02d} left" if elapsed_s else ""
        self._progress.update(self._task, speed=speed)

    def waiting(self, results: int, most: int) -> None:
        """Not shown: a notice says that the store is away, and another that there is no more room."""

    def notice(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)
