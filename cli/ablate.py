# SPDX-License-Identifier: Apache-2.0
"""``spikelink ablate ABLATION``: what might improve codec or stop rule, one thing at a time, on validation images."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.evaluate import count_workers, parse_bers
from cli.failures import CommandError
from cli.options import DATA, RUNS, DataPath, Device, RunsPath, WeightsPath, check_profile
from cli.reproduce import DOCS
from cli.terminal import output

if TYPE_CHECKING:
    from experiments.ablations.codec import Measuring
    from experiments.ablations.trained import Recipe, Trained

BERS: Final = "0,0.1,0.2,0.3,0.4"
#: What the extra ``reproduce`` brings.
_NEEDED: Final = ("jinja2", "matplotlib", "scipy")

OF_CODEC = "Of codec"


class Ablation(StrEnum):
    """What is varied."""

    CODEC = "codec"


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
    variants: Annotated[
        str | None,
        typer.Option(help="Comma-separated, control among them; all unless given.", rich_help_panel=OF_CODEC),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of each variant's training.", rich_help_panel=OF_CODEC)] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Images a step.", rich_help_panel=OF_CODEC)] = 256,
    learning_rate: Annotated[float, typer.Option(min=1e-9, help="Its peak.", rich_help_panel=OF_CODEC)] = 5e-4,
    seed: Annotated[int, typer.Option(min=0, help="Of order and draws.", rich_help_panel=OF_CODEC)] = 0,
    bf16: Annotated[
        bool, typer.Option("--bf16/--no-bf16", help="bfloat16 autocast in training.", rich_help_panel=OF_CODEC)
    ] = True,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Minutes between checkpoints inside an epoch.", rich_help_panel=OF_CODEC)
    ] = 5,
) -> None:
    """Train what is varied, measure it on the validation images, and compare. The test images are never read."""
    needed = [name for name in _NEEDED if find_spec(name) is None]
    if needed:
        raise CommandError(f"{', '.join(needed)} missing: pip install '.[reproduce]'")
    if images is not None and docs == DOCS:
        raise CommandError("--images is a try: --docs says where its results go, the project's own are of all images")
    if not draw_only:
        from experiments.ablations.codec import Measuring
        from experiments.ablations.trained import Recipe
        from experiments.training.loop import Schedule
        from models.weights import WEIGHTS_FOLDER

        check_profile(profile)
        where = device.resolved()
        schedule = Schedule(epochs, learning_rate, batch, seed=seed)
        recipe = Recipe(
            profile, data, weights or WEIGHTS_FOLDER, runs, schedule, where, bf16, images, 60 * checkpoint_minutes
        )
        measuring = Measuring(recipe, parse_bers(bers), tuple(range(seeds)), count_workers(workers, where))
        _codec(measuring, _names(variants), docs)
    _draw(docs)


def _names(text: str | None) -> tuple[str, ...]:
    from experiments.ablations.variants import CONTROL, VARIANTS

    names = tuple(dict.fromkeys(VARIANTS if text is None else (name.strip() for name in text.split(","))))
    for name in names:
        if name not in VARIANTS:
            raise CommandError(f"there is no variant {name!r}: there are {', '.join(VARIANTS)}")
    if CONTROL not in names:
        raise CommandError(f"--variants needs {CONTROL}, which the others are compared with")
    return names


@contextmanager
def _one_line() -> Iterator[None]:
    """What may be missing or go wrong, and how to go on."""
    from experiments.data.cifar100 import DataSetMissingError
    from experiments.training.checkpoints import ResumeError
    from experiments.training.loop import DivergedError
    from models.allocator import keep_freed_memory
    from models.weights import WeightsError

    keep_freed_memory()
    try:
        yield
    except (DataSetMissingError, WeightsError, ResumeError, DivergedError, ValueError) as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        raise CommandError("interrupted: the same command goes on with what is not finished") from None


def _codec(measuring: "Measuring", names: tuple[str, ...], docs: Path) -> None:
    from cli.measuring_progress import MeasuringProgress, Named
    from experiments.ablations import codec
    from experiments.ablations.results import path_of
    from experiments.json_files import write_json

    with _one_line():
        trained = {name: _train(measuring.recipe, name) for name in names}
        with MeasuringProgress() as progress:
            measured = codec.measure_variants(measuring, trained, lambda name: Named(progress, name))
        path = path_of(docs, Ablation.CODEC, measuring.recipe.profile)
        write_json(path, codec.record(measuring, trained, measured))
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
