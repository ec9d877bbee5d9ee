# SPDX-License-Identifier: Apache-2.0
"""``spikelink train``: what it hands to the stages, and how it fails. No stage is run here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from cli.app import main
from experiments.training import stages
from experiments.training.backbone import ImageSchedule
from experiments.training.bench import Bench, TrainingOptions
from experiments.training.draws import Draws
from experiments.training.loop import Schedule
from experiments.training.stages import CodecChoices

STAGES = ("backbone", "codec", "joint", "simnet", "noise-free-codec", "cnn-1bit")
SIZES = (16,) * 8 + (24,) * 10 + (32,) * 12


@dataclass
class Call:
    """What a stage was given."""

    stage: str
    bench: Bench
    recipe: tuple[object, ...]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Each stage replaced by one that reports two steps and an epoch, and keeps what it was given."""
    kept: list[Call] = []

    def replaced(name: str) -> Callable[..., SimpleNamespace]:
        def stage(bench: Bench, *recipe: object) -> SimpleNamespace:
            kept.append(Call(name, bench, recipe))
            bench.listener.features(250)
            bench.listener.features(250)
            for step in (1, 2):
                bench.listener.step(step, 2, 0.5)
            bench.listener.epoch({"epoch": 0.0, "loss": 0.5, "score": 71.25})
            return SimpleNamespace(progress=SimpleNamespace(best_epoch=0, best={"score": 71.25}))

        return stage

    for name in STAGES:
        monkeypatch.setattr(stages, f"train_{name.replace('-', '_')}", replaced(name))
    return kept


def sgd(epochs: int, rate: float, batch: int, seed: int = 0) -> Schedule:
    return Schedule(epochs, rate, batch, 0.1, 5e-4, optimizer="sgd", clip_norm=5.0, seed=seed)


@pytest.mark.parametrize(
    ("stage", "schedule", "recipe"),
    [
        ("backbone", sgd(30, 0.2, 128), (ImageSchedule(SIZES, 0.5),)),
        ("codec", Schedule(8, 1e-3, 256), (CodecChoices(Draws(4, 8, 0.3, 0.0)),)),
        ("joint", Schedule(3, 1e-4, 128, 0.1, backbone_factor=0.1), (0.0,)),
        ("simnet", Schedule(3, 1e-3, 256), (None,)),
        ("noise-free-codec", Schedule(6, 1e-3, 256), ()),
        ("cnn-1bit", Schedule(8, 1e-3, 256), ()),
    ],
)
def test_each_stage_has_its_own_defaults(
    calls: list[Call], stage: str, schedule: Schedule, recipe: tuple[object, ...]
) -> None:
    done = CliRunner().invoke(main, ["train", stage], env={"COLUMNS": "120"})
    assert (done.exit_code, done.stderr) == (0, "")
    assert "epoch 1/" in done.stdout
    assert "score 71.25" in done.stdout
    (call,) = calls
    options = call.bench.options
    assert (call.stage, call.bench.asked, call.recipe) == (stage, schedule, recipe)
    assert (options.profile, options.resume, options.bf16, options.start) == ("resnet18", False, True, None)
    found = "cuda" if torch.cuda.is_available() else "cpu"
    assert (options.device, options.compiled, options.images, options.checkpoint_s) == (found, None, None, 300.0)


def test_what_is_given_replaces_the_defaults(calls: list[Call], tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    given = f"train backbone --data {tmp_path} --start {start} --sizes 24:1,32:1 --batch 32 --learning-rate 0.05"
    more = f"--resume --runs {tmp_path}/r --weights {tmp_path}/w --no-bf16 --profile resnet50 --seed 4 --cutmix 0"
    last = "--device cpu --compile --images 64 --checkpoint-minutes 0.5"
    done = CliRunner().invoke(main, [*given.split(), *more.split(), *last.split()])
    assert (done.exit_code, done.stderr) == (0, "")
    (call,) = calls
    assert call.bench.options == TrainingOptions(
        "resnet50", tmp_path, tmp_path / "r", tmp_path / "w", start,
        resume=True, device="cpu", bf16=False, compiled=True, images=64, checkpoint_s=30.0,
    )  # fmt: skip
    assert (call.bench.asked, call.recipe) == (sgd(2, 0.05, 32, 4), (ImageSchedule((24, 32), 0.0),))


def test_a_codec_can_be_trained_over_other_draws(calls: list[Call], tmp_path: Path) -> None:
    given = f"train codec --min-t 1 --max-ber 0.4 --high-ber-share 0.5 --epochs 2 --start {tmp_path} --keep-norm"
    assert CliRunner().invoke(main, given.split()).exit_code == 0
    assert (calls[0].bench.asked, calls[0].recipe) == (
        Schedule(2, 1e-3, 256),
        (CodecChoices(Draws(1, 8, 0.4, 0.5), True),),
    )


def test_codec_and_simnet_can_be_trained_on_fresh_images(calls: list[Call]) -> None:
    for given in ("codec --cutmix 0.5 --distil 1 --weight-bits 6", "simnet --cutmix 0"):
        assert CliRunner().invoke(main, ["train", *given.split()]).exit_code == 0
    assert calls[0].recipe == (CodecChoices(Draws(4, 8), cutmix=0.5, distilled=1.0),)
    assert calls[0].bench.options.weight_bits == 6
    assert calls[1].recipe == (0.0,)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (
            ["train", "codec", "--profile", "resnet9"],
            "there is no profile 'resnet9': there are resnet18, resnet18-t1, resnet50",
        ),
        (["train", "simnet", "--start", "/"], "--start belongs to stage backbone and codec, not to simnet"),
        (
            ["train", "cnn-1bit", "--cutmix", "0"],
            "--cutmix belongs to stage backbone and codec and joint and simnet",
        ),
        (["train", "codec", "--no-compile"], "--compile belongs to stage backbone, not to codec"),
        (["train", "simnet", "--distil", "1"], "--distil belongs to stage codec, not to simnet"),
        (["train", "joint", "--max-ber", "0.4"], "--max-ber belongs to stage codec, not to joint"),
        (["train", "joint", "--keep-norm"], "--keep-norm belongs to stage codec, not to joint"),
        (["train", "codec", "--keep-norm"], "--keep-norm needs --start, whose statistics are kept"),
        (["train", "codec", "--min-t", "9"], "--min-t lies in 1..8, not at 9"),
        (["train", "backbone", "--epochs", "3"], "the backbone's epochs follow from --sizes"),
        (["train", "backbone", "--sizes", "16"], "--sizes is a list such as 16:8,24:10,32:12, not '16'"),
        (["train", "backbone", "--sizes", "64:1"], "--sizes needs an epoch or more, at 8 to 32 pixels"),
        (["train", "backbone", "--start", "/absent"], "there is no folder /absent to start from"),
        (["train", "backbone", "--data", "/absent"], "no CIFAR-100 training set in /absent: looked for train.bin"),
        (
            ["train", "codec", "--weights", "/absent"],
            "profile resnet18 has no weights in /absent: its backbone is not trained yet",
        ),
        (["train", "joint", "--weights", "/absent"], "resnet18 has no weights: joint fine-tuning needs a backbone"),
        (["demo", "--data", "/absent"], "no CIFAR-100 test set in /absent: looked for test.bin"),
    ],
)
def test_what_is_missing_is_one_line(arguments: list[str], part: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert part in done.stderr


def test_an_interrupted_stage_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "train_codec", interrupted)
    done = CliRunner().invoke(main, ["train", "codec"])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "--resume" in done.stderr


def test_cuda_is_not_fallen_back_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = CliRunner().invoke(main, ["train", "codec", "--device", "cuda"])
    said = "device 'cuda' was asked for, but PyTorch sees no CUDA device; use 'cpu' or 'auto'"
    assert (done.exit_code, done.stderr) == (1, f"spikelink: {said}\n")
