# SPDX-License-Identifier: Apache-2.0
"""``spikelink train STAGE``: one stage, with its progress on the terminal."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.failures import CommandError
from cli.options import DATA, RUNS, DataPath, Device, RunsPath, WeightsPath, check_profile
from cli.own_process import keep_freed_memory

if TYPE_CHECKING:
    from experiments.training.bench import Bench, TrainingOptions
    from experiments.training.loop import Run, Schedule


class Stage(StrEnum):
    """The stages in the order in which they are trained. The codecs after ``joint`` learn on its backbone, frozen."""

    BACKBONE = "backbone"
    CODEC = "codec"
    JOINT = "joint"
    SIMNET = "simnet"
    NOISE_FREE_CODEC = "noise-free-codec"
    CNN_1BIT = "cnn-1bit"


#: Epochs, peak learning rate and batch of each stage; the backbone's epochs follow from its image sizes.
DEFAULTS: Final = {
    Stage.BACKBONE: (0, 0.2, 128),
    Stage.CODEC: (8, 1e-3, 256),
    Stage.JOINT: (3, 1e-4, 128),
    Stage.SIMNET: (3, 1e-3, 256),
    Stage.NOISE_FREE_CODEC: (6, 1e-3, 256),
    Stage.CNN_1BIT: (8, 1e-3, 256),
}
#: The pretrained backbone's share of the rate in the joint stage.
JOINT_BACKBONE_FACTOR: Final = 0.1

#: Options that not every stage knows.
ONLY_FOR: Final = {
    "--start": {Stage.BACKBONE, Stage.CODEC},
    "--compile": {Stage.BACKBONE},
    "--sizes": {Stage.BACKBONE},
    "--cutmix": {Stage.BACKBONE, Stage.CODEC, Stage.JOINT, Stage.SIMNET},
    "--distil": {Stage.CODEC},
    "--min-t": {Stage.CODEC},
    "--max-ber": {Stage.CODEC},
    "--high-ber-share": {Stage.CODEC},
    "--keep-norm": {Stage.CODEC},
}

RUN = "How to run"
RECIPE = "Recipe"
OF_STAGE = "Of one stage"


@dataclass(frozen=True)
class StageOptions:
    """What only some stages know, None where it was not given."""

    sizes: str | None
    cutmix: float | None
    min_t: int | None
    max_ber: float | None
    high_ber_share: float | None
    keep_norm: bool | None
    distil: float | None


def train(
    stage: Annotated[
        Stage, typer.Argument(help="What to train; each stage builds on those before.", show_default=False)
    ],
    data: DataPath = DATA,
    profile: Annotated[str, typer.Option(help="Which profile.")] = "resnet18",
    weights: WeightsPath = None,
    runs: RunsPath = RUNS,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --runs.", rich_help_panel=RUN)
    ] = False,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Minutes between checkpoints inside an epoch.", rich_help_panel=RUN)
    ] = 5,
    device: Annotated[Device, typer.Option(help="Where to compute.", rich_help_panel=RUN)] = Device.AUTO,
    bf16: Annotated[bool, typer.Option("--bf16/--no-bf16", help="bfloat16 autocast.", rich_help_panel=RUN)] = True,
    compiled: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="torch.compile the backbone; on CUDA by default.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(min=2, help="Only so many images of each split: a quick try.", rich_help_panel=RUN),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="The backbone's follow from --sizes.", rich_help_panel=RECIPE)
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images a step.", rich_help_panel=RECIPE)] = None,
    learning_rate: Annotated[float | None, typer.Option(min=1e-9, help="Its peak.", rich_help_panel=RECIPE)] = None,
    weight_bits: Annotated[
        int,
        typer.Option(
            min=2,
            max=11,
            help="Significant bits that written matrices and kernels keep; with fewer, files compress.",
            rich_help_panel=RECIPE,
        ),
    ] = 11,
    seed: Annotated[int, typer.Option(min=0, help="Of order, augmentation and draws.", rich_help_panel=RECIPE)] = 0,
    start: Annotated[
        Path | None,
        typer.Option(help="backbone, codec: a profile's folder whose weights to start from.", rich_help_panel=OF_STAGE),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="backbone: epochs at each image size, SIZE:EPOCHS,... (16:8,24:10,32:12).", rich_help_panel=OF_STAGE
        ),
    ] = None,
    cutmix: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="backbone (0.5), joint (0): share of images that CutMix mixes; codec, simnet: the same, and fresh "
            "crops in each batch instead of features computed once.",
            rich_help_panel=OF_STAGE,
            show_default=False,
        ),
    ] = None,
    min_t: Annotated[
        int | None, typer.Option(min=1, help="codec: smallest t that is trained (t0).", rich_help_panel=OF_STAGE)
    ] = None,
    max_ber: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="codec: largest BER that is trained (0.3).", rich_help_panel=OF_STAGE),
    ] = None,
    high_ber_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="codec: share of images whose BER is from the upper half alone (0).",
            rich_help_panel=OF_STAGE,
        ),
    ] = None,
    keep_norm: Annotated[
        bool | None,
        typer.Option(
            "--keep-norm",
            help="codec: batch norm keeps the statistics of --start.",
            rich_help_panel=OF_STAGE,
            show_default=False,
        ),
    ] = None,
    distil: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="codec: share of the loss that follows what the head says of F instead of the label (0).",
            rich_help_panel=OF_STAGE,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train one stage and write its best epoch by validation into the weights folder."""
    from experiments.training.bench import TrainingOptions
    from models.weights import WEIGHTS_FOLDER

    check_profile(profile)
    if start is not None and not start.is_dir():
        raise CommandError(f"there is no folder {start} to start from")
    given = StageOptions(sizes, cutmix, min_t, max_ber, high_ber_share, keep_norm, distil)
    _refuse_strangers(stage, {"--start": start, "--compile": compiled}, epochs, given)
    if keep_norm and start is None:
        raise CommandError("--keep-norm needs --start, whose statistics are kept")
    options = TrainingOptions(
        profile, data, runs, weights or WEIGHTS_FOLDER, start, resume, device.resolved(), bf16, compiled, images,
        checkpoint_s=60 * checkpoint_minutes, weight_bits=weight_bits,
    )  # fmt: skip
    default_epochs, default_rate, default_batch = DEFAULTS[stage]
    sides = _sizes(sizes or "16:8,24:10,32:12") if stage is Stage.BACKBONE else ()
    length = len(sides) or epochs or default_epochs
    schedule = _schedule(stage, length, learning_rate or default_rate, batch or default_batch, seed)
    run = _run(stage, options, schedule, given, sides)
    best = run.progress.best["score"]
    typer.echo(f"best epoch {run.progress.best_epoch + 1}: score {best:.3f}; written to {options.weights / profile}")


def _refuse_strangers(stage: Stage, others: dict[str, object], epochs: int | None, given: StageOptions) -> None:
    values = others | {f"--{name.replace('_', '-')}": value for name, value in vars(given).items()}
    for option, value in values.items():
        if value is not None and stage not in ONLY_FOR[option]:
            raise CommandError(f"{option} belongs to stage {' and '.join(sorted(ONLY_FOR[option]))}, not to {stage}")
    if epochs is not None and stage is Stage.BACKBONE:
        raise CommandError("the backbone's epochs follow from --sizes")


def _schedule(stage: Stage, epochs: int, learning_rate: float, batch: int, seed: int) -> "Schedule":
    from experiments.training.loop import Schedule

    if stage is Stage.BACKBONE:
        decay, clip = 5e-4, 5.0
        return Schedule(epochs, learning_rate, batch, 0.1, decay, optimizer="sgd", clip_norm=clip, seed=seed)
    if stage is Stage.JOINT:
        # Adam's first steps are as large as the rate, whatever the gradient: a long warm-up spares what is trained.
        return Schedule(epochs, learning_rate, batch, 0.1, seed=seed, backbone_factor=JOINT_BACKBONE_FACTOR)
    return Schedule(epochs, learning_rate, batch, seed=seed)


def _sizes(text: str) -> tuple[int, ...]:
    """SIZE:EPOCHS,... -> the size of each epoch."""
    try:
        pairs = [tuple(int(number) for number in part.split(":")) for part in text.split(",")]
        sizes = tuple(size for size, epochs in pairs for _ in range(epochs))
    except ValueError:
        raise CommandError(f"--sizes is a list such as 16:8,24:10,32:12, not {text!r}") from None
    if not sizes or any(not 8 <= size <= 32 for size in sizes):
        raise CommandError("--sizes needs an epoch or more, at 8 to 32 pixels")
    return sizes


def _run(
    stage: Stage, options: "TrainingOptions", schedule: "Schedule", given: StageOptions, sizes: tuple[int, ...]
) -> "Run":
    from cli.training_progress import TrainingProgress
    from experiments.data.cifar100 import DataSetMissingError
    from experiments.training.bench import Bench, Listener
    from experiments.training.checkpoints import ResumeError
    from experiments.training.first_backbone import StageOrderError
    from experiments.training.loop import DivergedError
    from models.weights import WeightsError

    keep_freed_memory()
    try:
        with TrainingProgress(stage.value, schedule.epochs, schedule.batch) as progress:
            listener = Listener(progress.step, progress.epoch, progress.features)
            return _train(stage, Bench(options, schedule, listener), given, sizes)
    except (DataSetMissingError, WeightsError, ResumeError, StageOrderError, DivergedError) as error:
        raise CommandError(str(error)) from None
    except KeyboardInterrupt:
        raise CommandError("interrupted: the same command with --resume goes on after the last checkpoint") from None


def _train(stage: Stage, bench: "Bench", given: StageOptions, sizes: tuple[int, ...]) -> "Run":
    from experiments.training import stages
    from experiments.training.backbone import ImageSchedule
    from experiments.training.draws import MAX_TRAINING_BER, Draws

    if stage is Stage.BACKBONE:
        return stages.train_backbone(bench, ImageSchedule(sizes, 0.5 if given.cutmix is None else given.cutmix))
    if stage is Stage.JOINT:
        return stages.train_joint(bench, given.cutmix or 0.0)
    if stage is Stage.CODEC:
        longest = bench.profile.max_steps
        shortest = given.min_t or bench.profile.t0
        if shortest > longest:
            raise CommandError(f"--min-t lies in 1..{longest}, not at {shortest}")
        largest = MAX_TRAINING_BER if given.max_ber is None else given.max_ber
        draws = Draws(shortest, longest, largest, given.high_ber_share or 0.0)
        choices = stages.CodecChoices(draws, bool(given.keep_norm), given.cutmix, given.distil or 0.0)
        return stages.train_codec(bench, choices)
    if stage is Stage.SIMNET:
        return stages.train_simnet(bench, given.cutmix)
    alone = {
        Stage.NOISE_FREE_CODEC: stages.train_noise_free_codec,
        Stage.CNN_1BIT: stages.train_cnn_1bit,
    }
    return alone[stage](bench)
