# SPDX-License-Identifier: Apache-2.0
"""``spikelink demo``: the nodes and the page, real photographs, four bit error rates, at last a small sweep."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.failures import CommandError
from cli.options import DASHBOARD_PORT, DATA, MAX_INDEX, TIMEOUT_S, TokenFile, read_token

if TYPE_CHECKING:
    from rich.console import Console

    from cli.photographs import Photograph
    from cli.processes import Nodes
    from experiments.sweeps.spec import Spec

_SYSTEMS: Final = ("snn-sc-harq", "snn-sc-margin-harq")
_PATIENCE_S: Final = 60.0


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="SPIKELINK_DATA",
            metavar="PATH",
            help=f"CIFAR-100: its folder, or an archive; {DATA} is tried unless given.",
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=10_000, help="How many test images the sweep sends.")] = 200,
    seed: Annotated[int, typer.Option(min=0, max=MAX_INDEX, help="Seed of the noise.")] = 7,
    token_file: TokenFile = None,
    keep: Annotated[
        bool, typer.Option("--keep", envvar="KEEP", help="Leave the nodes up until Ctrl-C, as on a terminal.")
    ] = False,
) -> None:
    """Start the nodes and the page, send photographs and a small sweep through the channel, stop what was started."""
    from cli.photographs import photographs
    from cli.signals import until_signalled
    from cli.terminal import output

    console, pictures, began = output(), photographs(), time.monotonic()
    finished = False
    with until_signalled(), ExitStack() as stack:
        material = stack.enter_context(_material(pictures, data, images, seed))
        nodes = _start(console, stack, material)
        _show(console, nodes, material, token_file)
        finished = True
        console.print(f"\ndone in {time.monotonic() - began:.0f} s, the nodes' start included")
        if keep or console.is_terminal:
            console.print(f"the nodes stay up, and so does the page at {nodes.urls['dashboard']}; Ctrl-C stops them")
            nodes.watch()
    if not finished:
        raise CommandError("interrupted; the nodes are stopped")


@dataclass(frozen=True)
class _Material:
    """What is sent, and where the sweep's results lie: for as long as the demonstration runs."""

    pictures: "list[Photograph]"
    spec: "Spec"
    data: Path
    store_url: str

    @property
    def of_photographs(self) -> bool:
        return self.spec.images.folder is not None


@contextmanager
def _material(pictures: "list[Photograph]", data: Path | None, count: int, seed: int) -> "Iterator[_Material]":
    """CIFAR-100's test images where they are, else the photographs. Raises CommandError."""
    from cli.demonstration import BERS
    from cli.sample_images import sample_images
    from experiments.sweeps.spec import Series, Spec

    with TemporaryDirectory(prefix="spikelink-demo-") as name, sample_images(data, count) as (images, folder):
        series = tuple(Series(system=system) for system in _SYSTEMS)
        spec = Spec(name="demo", bers=BERS, seeds=(seed,), series=series, images=images)
        yield _Material(pictures, spec, folder, f"sqlite://{name}/sweeps.sqlite3")


def _start(console: "Console", stack: ExitStack, material: _Material) -> "Nodes":
    from cli.display import NodesDisplay
    from cli.processes import Launch, Ports, or_free, running_nodes

    # Warnings alone, and those only where a node fails: log lines would run through the ladders.
    everywhere = {"SPIKELINK_LOG_LEVEL": "warning"}
    dashboard = {"SPIKELINK_SWEEP_STORE": material.store_url, "SPIKELINK_DATA": str(material.data.absolute())}
    with NodesDisplay(console) as display:
        launch = Launch({"": everywhere, "dashboard": dashboard}, deadline_s=300.0, on_state=display.states)
        nodes = stack.enter_context(running_nodes(or_free(Ports(dashboard=DASHBOARD_PORT)), launch))
    display.addresses(nodes)
    console.print(f"the page is at {nodes.urls['dashboard']}")
    return nodes


def _show(console: "Console", nodes: "Nodes", material: _Material, token_file: Path | None) -> None:
    from cli.demonstration import Demonstration
    from cli.sweeping import Place, run_spec
    from client import Client, SpikeLinkError

    try:
        with Client(nodes.urls["edge"], token=read_token(token_file)) as client:
            Demonstration(console, client, material.spec.seeds[0]).photographs(material.pictures)
        console.print("\nA small sweep through the three nodes, whose points the page draws as they come:")
        place = Place("http", nodes.urls["edge"], token_file, material.data, None, None, _PATIENCE_S, TIMEOUT_S)
        run_spec(lambda: material.spec, material.store_url, place)
    except (SpikeLinkError, CommandError):
        # That a node has ended is the better reason, but its connections break a moment before it is gone.
        nodes.watch(for_s=1.0)
        raise
    if material.of_photographs:
        console.print(
            f"\nCIFAR-100 is not in {DATA}, and {len(material.pictures)} photographs are too few for an accuracy:\n"
            "'spikelink data fetch' puts it there, or name its folder or archive with --data."
        )
