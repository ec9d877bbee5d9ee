# SPDX-License-Identifier: Apache-2.0
"""The loop that every training stage shares: schedule, autocast, checkpoints, the best epoch by validation.

An epoch's order and draws come from one generator on the CPU, seeded by (seed, epoch). A checkpoint holds its state,
inside an epoch too, so a run that is interrupted and resumed equals one that was not: bit for bit on the CPU with the
same thread count, in order and draws on CUDA.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from experiments.training.checkpoints import Checkpoints
from experiments.training.engine import Engine

Metrics = dict[str, float]
Report = Callable[[int, int, float], None]


class DivergedError(Exception):
    """A run ended without a network worth keeping."""


class Stage(Protocol):
    """What one stage adds to the loop. ``network`` holds what is saved and what is trained."""

    @property
    def network(self) -> nn.Module: ...

    images: int
    batch: int

    def begin(self, epoch: int) -> None:
        """An epoch, counted from 0, is about to run or to go on."""

    def loss(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of a batch of the training images, a scalar; all its draws come from the generator."""

    def validate(self) -> Metrics:
        """Figures on the validation split; ``score`` decides which epoch is kept, larger is better."""


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up over the first ``warmup`` share of the steps, then cosine decay to zero.

    Parameters below ``backbone`` learn at ``backbone_factor`` times the rate.
    """

    epochs: int
    peak_learning_rate: float
    batch: int
    warmup: float = 0.05
    weight_decay: float = 0.0
    optimizer: str = "adam"
    clip_norm: float = 1.0
    seed: int = 0
    backbone_factor: float = 1.0

    def learning_rate(self, step: int, steps: int) -> float:
        rise = max(1, round(self.warmup * steps))
        if step < rise:
            return self.peak_learning_rate * (step + 1) / rise
        return self.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


@dataclass
class Progress:
    """What a run has reached: whole epochs, and steps of the one under way with the sum of their losses.

    ``before`` are the figures of what the run started from, where it counts as epoch -1; else it is empty.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_score: float = -math.inf
    best_epoch: int = -1
    seconds: float = 0.0
    before: Metrics = field(default_factory=dict)
    history: list[Metrics] = field(default_factory=list)

    @property
    def best(self) -> Metrics:
        """The figures of the best epoch."""
        return self.before if self.best_epoch < 0 else self.history[self.best_epoch]


def _optimizer(schedule: Schedule, network: nn.Module) -> torch.optim.Optimizer:
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decay = schedule.weight_decay if parameter.ndim > 1 else 0.0
            factor = schedule.backbone_factor if name.startswith("backbone.") else 1.0
            groups.setdefault((decay, factor), []).append(parameter)
    listed = [{"params": group, "weight_decay": decay, "factor": factor} for (decay, factor), group in groups.items()]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(listed, lr=schedule.peak_learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(listed, lr=schedule.peak_learning_rate)


class Run:
    """One stage's run: trains, keeps checkpoints, goes on from them."""

    def __init__(self, stage: Stage, schedule: Schedule, checkpoints: Checkpoints, engine: Engine) -> None:
        self.stage, self.schedule, self.checkpoints, self.engine = stage, schedule, checkpoints, engine
        self.steps_per_epoch = stage.images // stage.batch
        self.optimizer = _optimizer(schedule, stage.network)
        self.progress = Progress()
        self._draws: Tensor | None = None
        self._losses: list[Tensor] = []
        self._counted_at = self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Go on from the newest checkpoint where there is one; says whether there was. Raises ResumeError."""
        content = cast("dict[str, Any] | None", self.checkpoints.load_last())
        if content is None:
            return False
        self.stage.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.progress = Progress(**content["progress"])
        self._draws = content["draws"]
        return True

    def train(self, report: Report, told: Callable[[Metrics], None], *, start_counts: bool = False) -> Progress:
        """Run the epochs that are left. ``report(step, steps, loss)`` hears of the steps, ``told`` of each epoch.

        ``start_counts``: what the network held before is epoch -1, which is kept where no epoch does better. Raises
        DivergedError where no epoch has a score.
        """
        self._counted_at = self._saved_at = time.monotonic()
        begins = self.progress == Progress()
        if begins:
            self.checkpoints.forget_best()
        if begins and start_counts:
            self.progress.before = {"epoch": -1.0, **self._validate()}
            self.progress.best_score = self.progress.before["score"]
            self.checkpoints.save_best(self.stage.network.state_dict())
            told(self.progress.before)
        while self.progress.epoch < self.schedule.epochs:
            generator = self._epoch(report)
            mean_loss = self.progress.loss_sum / self.steps_per_epoch
            metrics = {"epoch": float(self.progress.epoch), "loss": mean_loss, **self._validate()}
            self._keep(metrics, generator)
            told(metrics)
        if math.isinf(self.progress.best_score):
            raise DivergedError("no epoch has a score that is a number: try a lower --learning-rate")
        return self.progress

    def _validate(self) -> Metrics:
        self.stage.network.eval()
        with torch.inference_mode(), self.engine.autocast():
            return self.stage.validate()

    def _epoch(self, report: Report) -> torch.Generator:
        progress, per_epoch = self.progress, self.steps_per_epoch
        generator = torch.Generator().manual_seed(self.schedule.seed * 1_000_003 + progress.epoch)
        batches = shuffled_rows(self.stage.images, self.stage.batch, generator)
        if progress.step and self._draws is not None:
            generator.set_state(self._draws)
        self.stage.network.train()
        self.stage.begin(progress.epoch)
        while progress.step < per_epoch:
            self._losses.append(self._step(batches[progress.step], generator))
            progress.step += 1
            due = time.monotonic() - self._saved_at >= self.checkpoints.interval_s
            if due or len(self._losses) == self.engine.report_every or progress.step == per_epoch:
                done = progress.epoch * per_epoch + progress.step
                report(done, per_epoch * self.schedule.epochs, self._read_losses())
            if due:
                self._checkpoint(generator)
        return generator

    def _step(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        progress, per_epoch = self.progress, self.steps_per_epoch
        step = progress.epoch * per_epoch + progress.step
        rate = self.schedule.learning_rate(step, per_epoch * self.schedule.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        with self.engine.autocast():
            loss = self.stage.loss(rows, generator)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.stage.network.parameters(), self.schedule.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def _read_losses(self) -> float:
        """Add the losses since the last reading, one by one so that the sum does not depend on when; the last one."""
        losses = torch.stack(self._losses).tolist()
        self._losses.clear()
        for loss in losses:
            self.progress.loss_sum += loss
        return float(losses[-1])

    def _keep(self, metrics: Metrics, generator: torch.Generator) -> None:
        progress = self.progress
        progress.history.append(metrics)
        if metrics["score"] > progress.best_score:
            progress.best_score, progress.best_epoch = metrics["score"], progress.epoch
            self.checkpoints.save_best(self.stage.network.state_dict())
        progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
        self._checkpoint(generator)

    def _checkpoint(self, generator: torch.Generator) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._counted_at
        self._counted_at = now
        self.checkpoints.save_last(
            {
                "network": self.stage.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "progress": vars(self.progress),
                "draws": generator.get_state(),
            }
        )
        self._saved_at = time.monotonic()


def shuffled_rows(count: int, batch: int, generator: torch.Generator) -> Sequence[Tensor]:
    """The rows 0..count-1 in random order, in whole batches; what is left over waits for another epoch."""
    order = torch.randperm(count, generator=generator)
    return [order[start : start + batch] for start in range(0, count - batch + 1, batch)]


def rows_in_order(count: int, batch: int) -> Sequence[Tensor]:
    """The rows 0..count-1 as they stand, all of them."""
    return [torch.arange(start, min(start + batch, count)) for start in range(0, count, batch)]
