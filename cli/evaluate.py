# SPDX-License-Identifier: Apache-2.0
"""``spikelink evaluate``: accuracy and bandwidth of a trained profile on CIFAR-100, through the in-process link."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.failures import CommandError, complain
from cli.measuring import in_one_line
from cli.options import DATA, RUNS, DataPath, Device, RunsPath, WeightsPath, check_profile
from cli.terminal import output

if TYPE_CHECKING:
    from experiments.evaluation.run import Evaluation, EvaluationOptions, Measured


PAPER_BERS = "0,0.05,0.1,0.15,0.2,0.25,0.3"


def evaluate(
    data: DataPath = DATA,
    profile: Annotated[str, typer.Option(help="Which profile.")] = "resnet18",
    weights: WeightsPath = None,
    split: Annotated[Literal["test", "validation"], typer.Option(help="Which images.")] = "test",
    bers: Annotated[str, typer.Option(help="Crossover probabilities, comma-separated.")] = PAPER_BERS,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    images: Annotated[int | None, typer.Option(min=1, help="Only so many images, the first by id.")] = None,
    bf16: Annotated[bool, typer.Option("--bf16/--no-bf16", help="bfloat16 autocast.")] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.CPU,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes of one thread; all cores, on cuda 1.")] = None,
    runs: RunsPath = RUNS,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Choose the thresholds (validation only) and store them.")
    ] = False,
    learn: Annotated[
        bool, typer.Option("--learn", help="With --calibrate: first fit the learned stop rule on the same images.")
    ] = False,
    measured: Annotated[
        Path | None,
        typer.Option(help="The runs of a machine that measured with reproduce --measure-only.", metavar="RUNS"),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
) -> None:
    """Accuracy, bandwidth and rounds by system and BER."""
    from experiments.evaluation import run
    from experiments.evaluation.parts import Spec
    from models.profiles import PROFILES
    from models.weights import WEIGHTS_FOLDER

    check_profile(profile)
    where = device.resolved()
    spec = Spec(profile, weights or WEIGHTS_FOLDER, where, bf16)
    options = run.EvaluationOptions(
        spec, data, split, parse_bers(bers), seed, images, runs, count_workers(workers, where), measured
    )
    if learn and not calibrate:
        raise CommandError("--learn belongs to --calibrate, which then chooses the rule's threshold")
    with in_one_line():
        by_pass = _measured(options, calibrate, learn)
    evaluation = run.summarise(by_pass, spec.manifest().thresholds, PROFILES[profile].harq)
    _show(evaluation)
    if json_file is not None:
        write_figures(json_file, run.as_json(options, evaluation))


def write_figures(path: Path, figures: dict[str, object]) -> None:
    """Whole or not at all. Raises CommandError."""
    from experiments.json_files import write_json

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, figures)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


def count_workers(asked: int | None, device: str) -> int:
    """As many processes as asked for; otherwise one a core, and one on a GPU."""
    return asked or (1 if device == "cuda" else os.cpu_count() or 1)


def parse_bers(text: str) -> tuple[float, ...]:
    """Each once, in rising order. Raises CommandError."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CommandError(f"--bers is a comma-separated list of numbers, not {text!r}") from None
    if not all(0 <= value <= 0.5 for value in values):
        raise CommandError("a BER lies in 0..0.5")
    return tuple(sorted(set(values)))


def _measured(options: "EvaluationOptions", calibrate: bool, learn: bool) -> "Measured":
    """Measure, and calibrate where asked; systems that are left out take a line each on stderr. Raises as those do."""
    from cli.measuring_progress import MeasuringProgress
    from experiments.evaluation import run
    from experiments.evaluation.learned_rule import PART, Lesson, learn_rule
    from models.systems import SYSTEMS, StopRule

    if calibrate:
        run.may_calibrate(options)
    if learn:
        lesson = Lesson(*options.measuring(), options.data, options.bers, options.seed, options.workers)
        with MeasuringProgress() as progress:
            held_out = learn_rule(lesson, progress)
        output().print(f"learned rule: {held_out:.4f} nats on the images that chose its epoch")
    without = run.left_out(options, calibrate)
    for name, reason in without.items():
        if PART in options.spec.manifest().parts or SYSTEMS[name].stop is not StopRule.OUTLOOK:
            complain(f"{name} is left out: {reason}")  # profiles have a learned rule only where it is worth it
    with MeasuringProgress() as progress:
        by_pass = run.measured(options, without, progress)
    if calibrate:
        for line in run.calibrate(options, without, by_pass):
            complain(f"{line}; its default stays as it was")
    return by_pass


def _show(evaluation: "Evaluation") -> None:
    from rich.table import Table

    images, backbone = evaluation.points[0].images, evaluation.backbone_accuracy
    title = f"{images:,} images; the backbone without a link: {backbone:.2f} %"
    table = Table(title=title, box=None, padding=(0, 2, 0, 0))
    for name in ("system", "theta, t", "BER", "accuracy %", "95 %: +-", "mean bits", "rounds"):
        table.add_column(name, justify="left" if name == "system" else "right", no_wrap=True)
    for point in evaluation.points:
        knob = f"{point.theta:.3f}" if point.theta is not None else f"t={point.t}"
        figures = (point.accuracy, point.half_width, point.bandwidth_bits, point.mean_rounds)
        table.add_row(point.system, knob, f"{point.ber:.2f}", *(f"{figure:.2f}" for figure in figures))
    output().print(table)
