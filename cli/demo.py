# SPDX-License-Identifier: Apache-2.0
"""``spikelink demo``: three nodes, real photographs, four bit error rates, every round over HTTP."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import CommandError
from cli.options import DATA, MAX_INDEX, TokenFile, read_token

if TYPE_CHECKING:
    from rich.console import Console

    from cli.demonstration import Demonstration
    from cli.photographs import Photograph, TestImages
    from cli.processes import Nodes


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="SPIKELINK_DATA",
            metavar="PATH",
            help=f"CIFAR-100: its folder, or an archive; {DATA} is tried unless given.",
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=10_000, help="How many test images at each BER.")] = 200,
    seed: Annotated[int, typer.Option(min=0, max=MAX_INDEX, help="Seed of the noise.")] = 7,
    token_file: TokenFile = None,
    keep: Annotated[bool, typer.Option("--keep", envvar="KEEP", help="Leave the nodes up until Ctrl-C.")] = False,
) -> None:
    """Start the nodes, send photographs through the channel at BER 0 to 0.3, and stop what was started."""
    from cli.demonstration import Demonstration
    from cli.photographs import draw_test_images, photographs
    from cli.signals import until_signalled
    from cli.terminal import output
    from client import Client
    from experiments.data.cifar100 import is_there

    token = read_token(token_file)
    console, pictures, began = output(), photographs(), time.monotonic()
    folder = data or (DATA if is_there(DATA, "test") else None)
    test_images = draw_test_images(folder, images) if folder else None
    finished = False
    with until_signalled(), ExitStack() as stack:
        nodes = _start(console, stack)
        with Client(nodes.urls["edge"], token=token) as client:
            _show(nodes, Demonstration(console, client, seed), pictures, test_images)
        finished = True
        console.print(f"\ndone in {time.monotonic() - began:.0f} s, the nodes' start included")
        if keep:
            console.print("the nodes stay up; Ctrl-C stops them")
            nodes.watch()
    if not finished:
        raise CommandError("interrupted; the nodes are stopped")


def _start(console: "Console", stack: ExitStack) -> "Nodes":
    from cli.display import NodesDisplay
    from cli.processes import Launch, Ports, or_free, running_nodes

    with NodesDisplay(console) as display:
        # Warnings alone, and those only where a node fails: log lines would run through the ladders.
        launch = Launch(environment={"": {"SPIKELINK_LOG_LEVEL": "warning"}}, deadline_s=300.0, on_state=display.states)
        nodes = stack.enter_context(running_nodes(or_free(Ports()), launch))
    display.addresses(nodes)
    return nodes


def _show(
    nodes: "Nodes", demonstration: "Demonstration", pictures: list["Photograph"], test_images: "TestImages | None"
) -> None:
    from client import SpikeLinkError

    try:
        demonstration.photographs(pictures)
        if test_images is not None:
            demonstration.test_images(test_images)
            return
    except SpikeLinkError:
        # That a node has ended is the better reason, but its connections break a moment before it is gone.
        nodes.watch(for_s=1.0)
        raise
    demonstration.console.print(
        f"\nCIFAR-100 is not in {DATA}, and {len(pictures)} photographs are too few for an accuracy:\n"
        "'spikelink data fetch' puts it there, or name its folder or archive with --data."
    )
