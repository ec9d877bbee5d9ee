# SPDX-License-Identifier: Apache-2.0
"""Data set, split and the training loop: what is read, and that a resumed run equals one that was not interrupted."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from experiments.data import cifar100
from experiments.data.split import image_id, is_validation, noise_block, validation_prefixes
from experiments.training.augment import crop_and_flip
from experiments.training.checkpoints import Checkpoints, ResumeError
from experiments.training.engine import choose_engine
from experiments.training.loop import Metrics, Run, Schedule
from experiments.training.simnet import spearman


def record(label: int, pixels: np.ndarray) -> bytes:
    return bytes([0, label]) + pixels.tobytes()


def test_the_loader_reads_the_binary_version(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    (tmp_path / "test.bin").write_bytes(b"".join(record(7 * i, image) for i, image in enumerate(pixels)))
    read = cifar100.load(tmp_path, "test")
    assert (read.images_NCHW == pixels).all()
    assert read.labels_N.tolist() == [0, 7, 14]
    assert read.ids() == [sha256(image.tobytes()).hexdigest() for image in pixels]


def test_a_missing_or_cut_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(cifar100.DataSetMissingError, match="get it by 'spikelink data fetch'"):
        cifar100.load(tmp_path, "test")
    (tmp_path / "train.bin").write_bytes(b"\0" * 3075)
    with pytest.raises(cifar100.DataSetMissingError, match="not a whole number"):
        cifar100.load(tmp_path, "train")


def test_the_split_goes_by_id_and_not_by_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    held_out = {image_id(image)[:16] for image in pixels[::2]}
    monkeypatch.setattr("experiments.data.split.validation_prefixes", lambda: frozenset(held_out))
    for order in (range(6), reversed(range(6))):
        (tmp_path / "train.bin").write_bytes(b"".join(record(i, pixels[i]) for i in order))
        assert set(cifar100.load(tmp_path, "validation").labels_N.tolist()) == {0, 2, 4}
        assert set(cifar100.load(tmp_path, "train").labels_N.tolist()) == {1, 3, 5}


def test_the_committed_list_is_the_validation_split() -> None:
    assert len(validation_prefixes()) == 2500
    assert is_validation(next(iter(validation_prefixes())) + "0" * 48)
    assert 0 <= noise_block("f" * 64) < 2**53


def test_augmentation_shifts_by_up_to_four_pixels_and_mirrors() -> None:
    x_BCHW = torch.rand(64, 3, 32, 32)
    out = crop_and_flip(x_BCHW, torch.Generator().manual_seed(0))
    padded = nn.functional.pad(x_BCHW, (4,) * 4, mode="reflect")
    for image, big in zip(out, padded, strict=True):
        crops = [big[:, i : i + 32, j : j + 32] for i in range(9) for j in range(9)]
        assert any(torch.equal(image, crop) or torch.equal(image, crop.flip(2)) for crop in crops)
    assert torch.equal(out, crop_and_flip(x_BCHW, torch.Generator().manual_seed(0)))


ON_CPU = choose_engine("cpu", bf16=False, compiled=False)


class Regression:
    """A stage as small as can be, with draws of its own in the loss."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
        self.images, self.batch = 35, 8
        self._x, self._y = torch.randn(35, 5), torch.randn(35, 1)

    def begin(self, epoch: int) -> None:
        """Every epoch is like the others."""

    def loss(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(len(rows), 5, generator=generator)
        return (self.network(self._x[rows] + 0.1 * noise) - self._y[rows]).square().mean()

    def validate(self) -> Metrics:
        return {"score": -float((self.network(self._x) - self._y).square().mean())}


def regression(folder: Path, schedule: Schedule, identity: dict[str, str] | None = None) -> Run:
    """Checkpoints after every step."""
    return Run(Regression(), schedule, Checkpoints(folder, identity or {"seed": "0"}, interval_s=0.0), ON_CPU)


def interrupted(run: Run, at_step: int) -> None:
    """Train until the step's loss is reported: its own checkpoint is not written any more."""

    def report(step: int, steps: int, loss: float) -> None:
        if step == at_step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(report, lambda metrics: None)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("stops", [(2,), (8, 9), (3, 10, 23)])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, optimizer: str, stops: tuple[int, ...]) -> None:
    schedule = Schedule(6, 0.05, 8, weight_decay=1e-3, optimizer=optimizer)
    whole = regression(tmp_path / "whole", schedule)
    whole.train(lambda step, steps, loss: None, lambda metrics: None)
    for stop in stops:
        run = regression(tmp_path / "parts", schedule)
        assert run.resume() is (stop != stops[0])
        interrupted(run, stop)
    again = regression(tmp_path / "parts", schedule)
    assert again.resume() is True
    assert 4 * again.progress.epoch + again.progress.step == stops[-1] - 1
    again.train(lambda step, steps, loss: None, lambda metrics: None)
    for (name, left), right in zip(
        whole.stage.network.state_dict().items(), again.stage.network.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), name
    assert whole.progress.history == again.progress.history
    assert whole.progress.best_epoch == again.progress.best_epoch
    for name, left in whole.checkpoints.load_best().items():
        assert torch.equal(left, again.checkpoints.load_best()[name]), name


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    schedule = Schedule(2, 0.05, 8)
    interrupted(regression(tmp_path, schedule, {"seed": "0", "data": "a"}), 2)
    for other, part in (({"seed": "1", "data": "a"}, "seed 0, not 1"), ({"seed": "0"}, "data a, not none")):
        with pytest.raises(ResumeError, match=part):
            regression(tmp_path, schedule, other).resume()
    torch.save({"network": {}}, tmp_path / "last.pt")
    with pytest.raises(ResumeError, match="older version"):
        regression(tmp_path, schedule).resume()


def test_losses_are_read_rarely_and_summed_all(tmp_path: Path) -> None:
    """On CUDA each reading waits for the device; how often it happens changes no figure."""
    heard: dict[int, list[int]] = {1: [], 20: []}
    means = []
    for every in heard:
        folder, engine = tmp_path / str(every), replace(ON_CPU, report_every=every)
        run = Run(Regression(), Schedule(2, 0.05, 8), Checkpoints(folder, {}), engine)
        run.train(lambda step, steps, loss: heard[every].append(step), lambda metrics: None)  # noqa: B023
        means.append([metrics["loss"] for metrics in run.progress.history])
    assert heard == {1: [1, 2, 3, 4, 5, 6, 7, 8], 20: [4, 8]}
    assert means[0] == means[1]


def test_the_pretrained_backbone_learns_at_its_own_rate(tmp_path: Path) -> None:
    stage = Regression()
    stage.network = nn.ModuleDict({"backbone": nn.Linear(5, 1), "codec": nn.Linear(5, 1)})
    before = {name: value.clone() for name, value in stage.network.state_dict().items()}
    stage.loss = lambda rows, generator: sum(part(stage._x[rows]).sum() for part in stage.network.values())  # type: ignore
    stage.validate = lambda: {"score": 0.0}  # type: ignore[method-assign]
    schedule = Schedule(1, 0.01, 35, warmup=1.0, backbone_factor=0.25)
    stage.batch = 35
    Run(stage, schedule, Checkpoints(tmp_path, {}), ON_CPU).train(lambda *_: None, lambda _: None)
    moved = {name: float((value - before[name]).abs().max()) for name, value in stage.network.state_dict().items()}
    # Adam's first step has the size of the rate.
    assert moved["codec.weight"] == pytest.approx(0.01, rel=1e-3)
    assert moved["backbone.weight"] == pytest.approx(0.0025, rel=1e-3)


def test_the_schedule_warms_up_and_decays_to_nothing() -> None:
    rates = [Schedule(1, 1.0, 8, warmup=0.1).learning_rate(step, 100) for step in range(101)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.0, abs=1e-12)


def test_spearman_is_the_correlation_of_ranks() -> None:
    scipy = pytest.importorskip("scipy.stats")
    x_N, y_N = torch.randn(200), torch.randn(200)
    assert spearman(x_N, x_N.exp()) == pytest.approx(1.0)
    for some_N in (y_N, y_N.round()):  # the second with ties
        assert spearman(x_N, some_N) == pytest.approx(float(scipy.spearmanr(x_N, some_N).statistic))
    assert spearman(torch.ones_like(x_N), y_N) == 0.0, "not the order in which the rows happen to stand"
