# SPDX-License-Identifier: Apache-2.0
"""How a running bench shows itself: a bar a scenario, and the level at hand."""

from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.terminal import output


class BenchProgress:
    """A bar counts the levels that are over; it ends where the next one begins."""

    def __init__(self) -> None:
        self._console = output()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[level]}"),
        )
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console)
        self._task: TaskID | None = None
        self._levels = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._finish()
        self._progress.stop()

    def begin(self, what: str, levels: int) -> None:
        self._finish()
        self._task, self._levels = self._progress.add_task(what, total=levels, level=""), 0

    def level(self, text: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=self._levels, level=text)
            self._levels += 1

    def notice(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _finish(self) -> None:
        if self._task is not None:
            (task,) = [task for task in self._progress.tasks if task.id == self._task]
            self._progress.update(self._task, completed=task.total, level="")
            self._progress.stop_task(self._task)
