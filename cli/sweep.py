# SPDX-License-Identifier: Apache-2.0
"""``spikelink sweep run|list|status|resume|cancel|export``: grids of systems, thresholds, BERs, seeds and images."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.failures import CommandError
from cli.options import DATA, EDGE_URL, TIMEOUT_S, DataPath, EdgeUrl, TokenFile, WeightsPath

sweep = typer.Typer(help="Measure a grid of systems, thresholds, BERs, seeds and images.")

StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="SPIKELINK_SWEEP_STORE",
        metavar="URL",
        help="sqlite:///PATH or redis://HOST:PORT/DB; a file in the user's state folder unless given.",
    ),
]
SweepId = Annotated[str, typer.Argument(metavar="ID", help="Its first digits will do.", show_default=False)]
Via = Annotated[
    Literal["link", "http", "ray"],
    typer.Option("--engine", "--via", help="On this machine, through the nodes, or on a Ray cluster."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        envvar="RAY_ADDRESS",
        metavar="HOST:PORT",
        help="Head of a Ray cluster that this machine belongs to; a cluster of its own unless given.",
        show_default=False,
    ),
]
Parallel = Annotated[
    int | None,
    typer.Option(min=1, max=4096, help="Processes (one a core), or batches on their way to the nodes (4)."),
]
Patience = Annotated[
    float,
    typer.Option("--patience-s", min=0, max=86_400, help="How long nodes, workers or store may be away in one go."),
]
PATIENCE_S = 300.0
BatchTimeout = Annotated[
    float,
    typer.Option(
        "--timeout-s",
        min=0.001,
        max=7200,
        help="Longest wait for the nodes' answer to a batch; must exceed their deadline (SPIKELINK_DEADLINE_S).",
    ),
]


@sweep.command()
def run(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="The grid.", show_default=False)],
    via: Via = "link",
    edge: EdgeUrl = EDGE_URL,
    token_file: TokenFile = None,
    ray_address: RayAddress = None,
    store: StoreUrl = None,
    data: DataPath = DATA,
    weights: WeightsPath = None,
    parallel: Parallel = None,
    patience_s: Patience = PATIENCE_S,
    timeout_s: BatchTimeout = TIMEOUT_S,
) -> None:
    """Measure what a file specifies; again, and it goes on with what is not finished."""
    from cli.sweeping import Place, run_spec
    from experiments.sweeps.spec import read_spec

    place = Place(via, edge, token_file, data, weights, parallel, patience_s, timeout_s, ray_address)
    run_spec(lambda: read_spec(spec), store, place)


@sweep.command()
def resume(
    sweep_id: SweepId,
    via: Via = "link",
    edge: EdgeUrl = EDGE_URL,
    token_file: TokenFile = None,
    ray_address: RayAddress = None,
    store: StoreUrl = None,
    data: DataPath = DATA,
    weights: WeightsPath = None,
    parallel: Parallel = None,
    patience_s: Patience = PATIENCE_S,
    timeout_s: BatchTimeout = TIMEOUT_S,
) -> None:
    """Go on with a sweep that was interrupted or cancelled."""
    from cli.sweeping import Place, resume_sweep

    resume_sweep(
        sweep_id, store, Place(via, edge, token_file, data, weights, parallel, patience_s, timeout_s, ray_address)
    )


@sweep.command("list")
def list_sweeps(store: StoreUrl = None) -> None:
    """All sweeps of the store, the oldest first."""
    from cli.sweep_tables import sweeps_table
    from cli.sweeps_kept import all_tallies
    from cli.terminal import output

    tallies = all_tallies(store)
    if not tallies:
        raise CommandError("there is no sweep in the store yet: 'spikelink sweep run SPEC.toml' makes one")
    output().print(sweeps_table(tallies))


@sweep.command()
def status(sweep_id: SweepId, store: StoreUrl = None) -> None:
    """How far a sweep is, and its figures so far."""
    from cli.sweep_tables import points_table
    from cli.sweeps_kept import one_tally
    from cli.terminal import output

    output().print(points_table(one_tally(sweep_id, store)))


@sweep.command()
def cancel(sweep_id: SweepId, store: StoreUrl = None) -> None:
    """Ask whoever runs a sweep to stop; what is finished stays, and 'resume' goes on."""
    from cli.sweeps_kept import cancel_sweep

    typer.echo(f"sweep {cancel_sweep(sweep_id, store)[:12]} is cancelled")


@sweep.command()
def export(
    sweep_id: SweepId,
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="Of what is written.")] = "csv",
    file: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Instead of the standard output.")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """A sweep's figures, with seeds, version and weights' sha256."""
    from cli.sweeps_kept import one_tally
    from experiments.sweeps.export import as_csv, as_json

    text = {"csv": as_csv, "json": as_json}[form](one_tally(sweep_id, store).tally)
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from None
