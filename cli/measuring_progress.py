# SPDX-License-Identifier: Apache-2.0
"""How a measurement shows itself: a bar over (image, BER, seed), with images per second and the time left."""

import time
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.terminal import output


class MeasuringProgress:
    """Bars of the passes, one after the other. What was finished before counts as done, but not as speed."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
        )
        self._progress = Progress(*columns, TimeElapsedColumn(), console=output())
        self._task: TaskID | None = None
        self._computed, self._since = 0, 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def images_per_second(self) -> float | None:
        """Of what was computed in the pass at hand, None where all of it was finished before."""
        return self._computed / (time.monotonic() - self._since) if self._computed else None

    def begin(self, what: str, total: int) -> None:
        """A pass starts; ``total`` counts an image once at each BER and seed."""
        self._task = self._progress.add_task(what, total=total, speed="")
        self._computed, self._since = 0, time.monotonic()

    def advance(self, count: int, computed: bool) -> None:
        """So many are done; ``computed`` says whether just now."""
        if self._task is None:
            return
        self._computed += count if computed else 0
        self._progress.advance(self._task, count)
        task, rate = self._progress.tasks[self._task], self.images_per_second
        if rate:
            left = int(((task.total or 0) - task.completed) / rate)
            self._progress.update(self._task, speed=f"{rate:,.0f} img/s, {left // 60}:{left % 60:02d} left")


class Named:
    """The same bars with a name before what is measured."""

    def __init__(self, progress: MeasuringProgress, name: str) -> None:
        self._progress, self._name = progress, name

    def begin(self, what: str, total: int) -> None:
        self._progress.begin(f"{self._name}: {what}", total)

    def advance(self, count: int, computed: bool) -> None:
        self._progress.advance(count, computed)
