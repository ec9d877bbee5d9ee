# SPDX-License-Identifier: Apache-2.0
"""How a training run shows itself: a bar with images per second and the time left, one line for each epoch."""

import time
from collections.abc import Mapping
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.terminal import output


class TrainingProgress:
    """Listens to a stage; its three methods are the listener's three calls."""

    def __init__(self, stage: str, epochs: int, batch: int) -> None:
        self._stage, self._epochs, self._batch = stage, epochs, batch
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=output(),
        )
        self._steps: TaskID | None = None
        self._images: TaskID | None = None
        self._first = (0, 0.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, step: int, steps: int, loss: float) -> None:
        """One step of training is done."""
        now = time.monotonic()
        if self._steps is None:
            # A resumed run begins in the middle: what was done before must not count as speed.
            self._steps = self._progress.add_task(self._stage, total=steps, completed=step - 1, figures="")
            self._first = (step, now)
        first, since = self._first
        rate = (step - first) * self._batch / (now - since) if now > since else 0.0
        self._progress.update(self._steps, completed=step, figures=f"loss {loss:.4f}  {rate:,.0f} img/s")

    def epoch(self, metrics: Mapping[str, float]) -> None:
        """One epoch is validated."""
        figures = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "epoch")
        self._progress.console.print(f"epoch {int(metrics['epoch']) + 1}/{self._epochs}  {figures}", soft_wrap=True)

    def features(self, images: int) -> None:
        """Features of so many images more are computed."""
        if self._images is None:
            self._images = self._progress.add_task("features", total=None, figures="")
        self._progress.advance(self._images, images)
        done = self._progress.tasks[self._images].completed
        self._progress.update(self._images, figures=f"{done:,.0f} images")
