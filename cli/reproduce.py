# SPDX-License-Identifier: Apache-2.0
"""``spikelink reproduce``: the paper's figures and tables, and those beyond, from the weights to the page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.evaluate import PAPER_BERS, count_workers, parse_bers
from cli.extras import require_drawing
from cli.failures import CommandError
from cli.measuring import in_one_line
from cli.options import DATA, RUNS, DataPath, Device, RunsPath, WeightsPath, check_profile
from cli.terminal import output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from experiments.evaluation.measure import Listener
    from experiments.reproduction.measuring import Options

    Work = Callable[[Options, Listener], Path]

#: The project's own results, and the noise seeds that they have.
DOCS: Final = Path("docs")
SEEDS: Final = 5


def reproduce(
    data: DataPath = DATA,
    profile: Annotated[str, typer.Option(help="Which profile.")] = "resnet18",
    weights: WeightsPath = None,
    bers: Annotated[str, typer.Option(help="Crossover probabilities, comma-separated, 0 among them.")] = PAPER_BERS,
    seeds: Annotated[int, typer.Option(min=1, help="Noise seeds 0, 1, ...: how many.")] = SEEDS,
    images: Annotated[int | None, typer.Option(min=1, help="Only so many images of each split, to try it out.")] = None,
    ldpc: Annotated[bool, typer.Option("--ldpc/--no-ldpc", help="The LDPC baseline, which takes longest.")] = True,
    ldpc_bers: Annotated[
        str | None, typer.Option(help="Of the BERs, those of the LDPC baseline; all unless given.", metavar="BERS")
    ] = None,
    baseline_seeds: Annotated[
        int | None, typer.Option(min=1, help="Of the seeds, how many the 1-bit CNN meets; all unless given.")
    ] = None,
    baseline_weights: Annotated[
        Path | None,
        typer.Option(
            help="A folder with the same weights and, beside them, baselines' codecs that are not shipped.",
            metavar="FOLDER",
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.CPU,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes of one thread; all cores, on cuda 1.")] = None,
    runs: RunsPath = RUNS,
    docs: Annotated[Path, typer.Option(help="Gets results.md, and JSON and figures in results/.")] = DOCS,
    measure_only: Annotated[
        bool, typer.Option("--measure-only", help="No figures: another machine draws them, by --measured RUNS.")
    ] = False,
    measured: Annotated[
        Path | None,
        typer.Option(help="The runs of a machine that measured everything with --measure-only.", metavar="RUNS"),
    ] = None,
    figures_only: Annotated[
        bool, typer.Option("--figures-only", help="Draw and write from the JSON alone: no weights, no data.")
    ] = False,
    sample_only: Annotated[
        bool, typer.Option("--sample-only", help="Only the small sample that continuous integration repeats.")
    ] = False,
) -> None:
    """Measure, and draw every figure and table of the paper and beyond."""
    if not measure_only:
        require_drawing("scipy")
    if sum((measure_only, measured is not None, figures_only, sample_only)) > 1:
        raise CommandError("one of --measure-only, --measured, --figures-only and --sample-only at a time")
    less = {
        "--images": images is not None, "--bers": bers != PAPER_BERS, "--seeds": seeds < SEEDS,
        "--no-ldpc": not ldpc and measured is None,
    }  # fmt: skip
    others = {"--ldpc-bers": ldpc_bers, "--baseline-seeds": baseline_seeds, "--baseline-weights": baseline_weights}
    if figures_only:
        _refuse({**less, **others}, "--figures-only measures nothing: it goes without {}")
    if sample_only:
        _refuse({**less, **others}, "--sample-only has images, BERs and seeds of its own: it goes without {}")
    if docs == DOCS and not measure_only:
        _refuse(less, "{} is a try: --docs says where its results go, the project's own are of everything")
    if not figures_only:
        from experiments.evaluation.parts import Spec
        from experiments.reproduction.measuring import Options
        from models.weights import WEIGHTS_FOLDER

        where = device.resolved()
        spec = Spec(profile, weights or WEIGHTS_FOLDER, where)
        options = Options(
            spec, data, parse_bers(bers), tuple(range(seeds)), count_workers(workers, where), runs, docs / "results",
            images=images, validation_images=images, ldpc=ldpc,
            ldpc_bers=None if ldpc_bers is None else parse_bers(ldpc_bers), baseline_seeds=baseline_seeds,
            elsewhere=measured, baseline_weights=baseline_weights,
        )  # fmt: skip
        _measure(options, _work(sample_only, measure_only))
    if not sample_only and not measure_only:
        _draw(docs)


def _refuse(given: "Mapping[str, object]", reason: str) -> None:
    """Raises CommandError, with the first option that was given in place of the braces."""
    for name, value in given.items():
        if value:
            raise CommandError(reason.format(name))


def _work(sample_only: bool, measure_only: bool) -> "Work":
    if measure_only:  # needs less than the figures do
        from experiments.reproduction.measuring import measure_only as passes

        return passes
    from experiments.reproduction import reproduce as run

    return run.write_sample if sample_only else run.reproduce


def _measure(options: "Options", work: "Work") -> None:
    from cli.measuring_progress import MeasuringProgress

    check_profile(options.spec.profile)
    if min(options.bers) > 0:
        raise CommandError("--bers needs 0, where thresholds are limited")
    if not set(options.ldpc_bers or ()) <= set(options.bers):
        raise CommandError("--ldpc-bers names a BER that --bers lacks")
    with in_one_line(), MeasuringProgress() as progress:
        written = work(options, progress)
    output().print(f"written to {written}", soft_wrap=True)


def _draw(docs: Path) -> None:
    from experiments.figures.draw import draw_profile
    from experiments.figures.page import write_page
    from experiments.figures.results import ResultsMissingError, profiles_in

    try:
        for folder in profiles_in(docs / "results"):
            draw_profile(folder)
        page = write_page(docs)
    except ResultsMissingError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.strerror}: {error.filename}") from error
    output().print(f"page and figures: {page}", soft_wrap=True)
