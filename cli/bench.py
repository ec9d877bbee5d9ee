# SPDX-License-Identifier: Apache-2.0
"""``spikelink bench``: how fast the nodes are, against the in-process link on the same cores."""

from pathlib import Path
from typing import Annotated, Final

import typer

from cli.extras import require_drawing
from cli.failures import CommandError
from cli.options import DATA, MAX_INDEX, Device, TokenFile, WeightsPath, check_profile

#: In the order in which they are measured.
SCENARIOS: Final = ("single", "concurrency", "open-loop", "batches", "channel", "session", "sweep")
#: The project's own page.
DOCS: Final = Path("docs")


def bench(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO]...", help=f"Of {', '.join(SCENARIOS)}; all unless given.", show_default=False
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the report here.")
    ] = None,
    duration_s: Annotated[float, typer.Option(min=0.1, max=3600, help="Time of each level of load.")] = 10.0,
    images: Annotated[int, typer.Option(min=1, max=10_000, help="Different images; no batch is larger.")] = 256,
    seed: Annotated[int, typer.Option(min=0, max=MAX_INDEX - 1, help="Of noise and arrivals.")] = 7,
    profile: Annotated[str, typer.Option(help="Which profile.")] = "resnet18",
    device: Annotated[Device, typer.Option(help="Where the nodes compute that are started here.")] = Device.AUTO,
    edge: Annotated[
        str | None,
        typer.Option(envvar="SPIKELINK_EDGE", metavar="URL", help="A running edge, instead of nodes started here."),
    ] = None,
    channel: Annotated[str | None, typer.Option(envvar="SPIKELINK_CHANNEL", metavar="URL", help="Its channel.")] = None,
    cloud: Annotated[str | None, typer.Option(envvar="SPIKELINK_CLOUD", metavar="URL", help="Its cloud.")] = None,
    token_file: TokenFile = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="SPIKELINK_DATA",
            metavar="PATH",
            help=f"CIFAR-100: its folder, or an archive; {DATA} is tried unless given.",
        ),
    ] = None,
    weights: WeightsPath = None,
    note: Annotated[str | None, typer.Option(help="What else is running; goes into the report.")] = None,
    draw: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure nothing: page and plots from this report.")
    ] = None,
    docs: Annotated[Path, typer.Option(help="With --draw: gets performance.md, and plots in images/.")] = DOCS,
) -> None:
    """Measure latency, throughput and overhead of the nodes."""
    if draw is not None:
        _draw(draw, docs)
        return
    from cli.benching import Request, run_bench

    unknown = sorted(set(scenarios or ()) - set(SCENARIOS))
    if unknown:
        raise CommandError(f"there is no scenario {unknown[0]!r}: there are {', '.join(SCENARIOS)}")
    check_profile(profile)
    urls = {role: url for role, url in (("edge", edge), ("channel", channel), ("cloud", cloud)) if url}
    if urls and edge is None:
        raise CommandError("--channel and --cloud belong to an --edge")
    chosen = scenarios or list(SCENARIOS)
    run_bench(
        Request(chosen, duration_s, images, seed, profile, device, urls, token_file, data, weights, note), json_file
    )


def _draw(report: Path, docs: Path) -> None:
    from cli.terminal import output
    from experiments.bench.report import ReportError

    require_drawing()
    from experiments.bench.page import write_page

    try:
        page = write_page(report, docs)
    except ReportError as error:
        raise CommandError(str(error)) from None
    output().print(f"page and plots: {page}", soft_wrap=True)
