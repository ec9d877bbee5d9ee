# SPDX-License-Identifier: Apache-2.0
"""``spikelink ablate ABLATION``: what might improve codec or stop rule, one thing at a time, on validation images."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.evaluate import count_workers, parse_bers
from cli.extras import require_drawing
from cli.failures import CommandError
from cli.measuring import in_one_line
from cli.options import DATA, RUNS, DataPath, Device, RunsPath, WeightsPath, check_profile
from cli.reproduce import DOCS
from cli.terminal import output

if TYPE_CHECKING:
    from experiments.ablations.trained import Recipe, Trained
    from experiments.evaluation.parts import Spec

BERS: Final = "0,0.1,0.2,0.3,0.4"

#: The codec's training, and the folds of the decision's cross-fitting, unless given.
EPOCHS, BATCH, LEARNING_RATE, CHECKPOINT_MINUTES, FOLDS = 2, 256, 5e-4, 5.0, 5

OF_CODEC = "Of codec"
OF_DECISION = "Of decision"


class Ablation(StrEnum):
    """What is varied: how the codec is trained, or what decides whether more is sent."""

    CODEC = "codec"
    DECISION = "decision"


@dataclass(frozen=True)
class CodecOptions:
    """What only the codec's ablation knows, None where it was not given."""

    variants: str | None
    epochs: int | None
    batch: int | None
    learning_rate: float | None
    bf16: bool | None
    checkpoint_minutes: float | None


def ablate(
    ablation: Annotated[Ablation, typer.Argument(help="What is varied.", show_default=False)],
    data: DataPath = DATA,
    profile: Annotated[str, typer.Option(help="Which profile.")] = "resnet18",
    weights: WeightsPath = None,
    bers: Annotated[str, typer.Option(help="Crossover probabilities, comma-separated.")] = BERS,
    seeds: Annotated[int, typer.Option(min=1, help="Noise seeds 0, 1, ...: how many.")] = 2,
    images: Annotated[int | None, typer.Option(min=2, help="Only so many images of each split, to try it out.")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.CPU,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that measure; all cores, on cuda 1.")] = None,
    runs: RunsPath = RUNS,
    docs: Annotated[Path, typer.Option(help="Gets ablations.md, and JSON in results/ablations/.")] = DOCS,
    draw_only: Annotated[
        bool, typer.Option("--draw-only", help="Write the page from the JSON alone: no weights, no data.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of order and draws in training.")] = 0,
    variants: Annotated[
        str | None,
        typer.Option(help="Comma-separated, control among them; all unless given.", rich_help_panel=OF_CODEC),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of each variant's training (2).", rich_help_panel=OF_CODEC)
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images a step (256).", rich_help_panel=OF_CODEC)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="Its peak (0.0005).", rich_help_panel=OF_CODEC)
    ] = None,
    bf16: Annotated[
        bool | None,
        typer.Option(
            "--bf16/--no-bf16",
            help="bfloat16 autocast in training; on.",
            rich_help_panel=OF_CODEC,
            show_default=False,
        ),
    ] = None,
    checkpoint_minutes: Annotated[
        float | None, typer.Option(min=0, help="Minutes between checkpoints (5).", rich_help_panel=OF_CODEC)
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=3, help="Of the images in cross-fitting (5).", rich_help_panel=OF_DECISION)
    ] = None,
) -> None:
    """Vary one thing at a time, measure it on the validation images, compare. The test images are never read."""
    require_drawing("scipy")
    given = CodecOptions(variants, epochs, batch, learning_rate, bf16, checkpoint_minutes)
    _refuse_strangers(ablation, given, folds)
    if images is not None and docs == DOCS:
        raise CommandError("--images is a try: --docs says where its results go, the project's own are of all images")
    if not draw_only:
        from experiments.evaluation.parts import Spec
        from models.weights import WEIGHTS_FOLDER

        check_profile(profile)
        where = device.resolved()
        spec = Spec(profile, weights or WEIGHTS_FOLDER, where)
        common = _Common(spec, data, runs, parse_bers(bers), seeds, count_workers(workers, where), images, seed)
        record = _codec(common, given) if ablation is Ablation.CODEC else _decision(common, folds or FOLDS)
        _write(docs, ablation, profile, record)
    _draw(docs)


@dataclass(frozen=True)
class _Common:
    """What both ablations know."""

    spec: "Spec"
    data: Path
    runs: Path
    bers: tuple[float, ...]
    seeds: int
    workers: int
    images: int | None
    seed: int


def _refuse_strangers(ablation: Ablation, codec: CodecOptions, folds: int | None) -> None:
    owners = {**dict.fromkeys(vars(codec), Ablation.CODEC), "folds": Ablation.DECISION}
    for name, value in {**vars(codec), "folds": folds}.items():
        if value is not None and owners[name] is not ablation:
            option = f"--{name.replace('_', '-')}"
            raise CommandError(f"{option} belongs to ablation {owners[name]}, not to {ablation}")


def _names(text: str | None) -> tuple[str, ...]:
    from experiments.ablations.variants import CONTROL, VARIANTS

    names = tuple(dict.fromkeys(VARIANTS if text is None else (name.strip() for name in text.split(","))))
    for name in names:
        if name not in VARIANTS:
            raise CommandError(f"there is no variant {name!r}: there are {', '.join(VARIANTS)}")
    if CONTROL not in names:
        raise CommandError(f"--variants needs {CONTROL}, which the others are compared with")
    return names


def _codec(common: _Common, given: CodecOptions) -> dict[str, object]:
    from cli.measuring_progress import MeasuringProgress, Named
    from experiments.ablations import codec
    from experiments.ablations.trained import Recipe
    from experiments.training.loop import Schedule

    names, spec = _names(given.variants), common.spec
    schedule = Schedule(
        given.epochs or EPOCHS, given.learning_rate or LEARNING_RATE, given.batch or BATCH, seed=common.seed
    )
    minutes = CHECKPOINT_MINUTES if given.checkpoint_minutes is None else given.checkpoint_minutes
    recipe = Recipe(
        spec.profile, common.data, spec.weights, common.runs, schedule, spec.device,
        bf16=given.bf16 is not False, images=common.images, checkpoint_s=60 * minutes,
    )  # fmt: skip
    measuring = codec.Measuring(recipe, common.bers, tuple(range(common.seeds)), common.workers)
    with in_one_line():
        trained = {name: _train(recipe, name) for name in names}
        with MeasuringProgress() as progress:
            measured = codec.measure_variants(measuring, trained, lambda name: Named(progress, name))
        return codec.record(measuring, trained, measured)


def _decision(common: _Common, folds: int) -> dict[str, object]:
    from cli.measuring_progress import MeasuringProgress
    from experiments.ablations.decision import Options, ablate_decision
    from experiments.training.outlook import Fitting

    seeds, fitting = tuple(range(common.seeds)), Fitting(seed=common.seed)
    options = Options(
        common.spec, common.data, common.runs, common.bers, seeds, common.workers, folds, fitting, common.images
    )
    with in_one_line(), MeasuringProgress() as progress:
        return ablate_decision(options, progress)


def _write(docs: Path, ablation: Ablation, profile: str, record: dict[str, object]) -> None:
    from experiments.ablations.results import path_of
    from experiments.json_files import write_json

    path = path_of(docs, ablation, profile)
    write_json(path, record)
    output().print(f"written to {path}", soft_wrap=True)


def _train(recipe: "Recipe", name: str) -> "Trained":
    from cli.training_progress import TrainingProgress
    from experiments.ablations.trained import train_variant
    from experiments.ablations.variants import VARIANTS
    from experiments.training.bench import Listener

    with TrainingProgress(name, recipe.schedule.epochs, recipe.schedule.batch) as progress:
        trained = train_variant(recipe, VARIANTS[name], Listener(progress.step, progress.epoch, progress.features))
    best = trained.run.progress
    output().print(f"{name}: best epoch {best.best_epoch + 1}, score {best.best['score']:.3f}", soft_wrap=True)
    return trained


def _draw(docs: Path) -> None:
    from experiments.ablations.page import write_page
    from experiments.figures.results import ResultsMissingError

    try:
        page = write_page(docs)
    except ResultsMissingError as error:
        raise CommandError(str(error)) from error
    output().print(f"page: {page}", soft_wrap=True)
