# SPDX-License-Identifier: Apache-2.0
"""How a running sweep shows itself: units done, images per second, the time left, and what it waits for."""

import time
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.terminal import output
from experiments.sweeps.events import UnitFinished
from experiments.sweeps.pace import Pace
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
        self._images, self._units, self._pace = 0, 0, Pace()

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
        self._images, self._units, self._pace = 0, 0, Pace()
        self._pace.see(time.monotonic(), 0, 0)

    def unit_finished(self, event: UnitFinished) -> None:
        """One more; a point that has stopped early leaves fewer to come."""
        if self._task is None:
            return
        self._progress.update(self._task, completed=event.units_done, total=event.units_total)
        if not event.computed:
            return
        self._images, self._units = self._images + event.images, self._units + 1
        self._pace.see(time.monotonic(), self._units, self._images)
        if speed := self._pace.speed(event.units_total - event.units_done):
            minutes, seconds = divmod(int(speed.left_s), 60)
            self._progress.update(self._task, speed=f"{speed.images_per_s:,.0f} img/s, {minutes}:{seconds:02d} left")

    def waiting(self, results: int, most: int) -> None:
        """Not shown: a notice says that the store is away, and another that there is no more room."""

    def notice(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)
