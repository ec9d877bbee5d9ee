# SPDX-License-Identifier: Apache-2.0
"""The ``spikelink`` command line: which commands there are."""

import typer

from cli.ablate import ablate
from cli.bench import bench
from cli.classify import classify
from cli.data import data
from cli.demo import demo
from cli.evaluate import evaluate
from cli.failures import OneLineErrors
from cli.links import channel
from cli.nodes import node
from cli.reproduce import reproduce
from cli.status import status
from cli.sweep import sweep
from cli.tokens import tokens
from cli.train import train
from cli.up import up

main = typer.Typer(
    name="spikelink",
    cls=OneLineErrors,
    help="A testbed for spiking semantic communication with HARQ: edge, channel and cloud as real services.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

main.command()(classify)
main.add_typer(channel, name="channel")
main.command()(status)
main.command()(demo)
main.command()(up)
main.command()(node)
main.command()(tokens)
main.add_typer(data, name="data")
main.command()(train)
main.command()(evaluate)
main.command()(reproduce)
main.command()(ablate)
main.command()(bench)
main.add_typer(sweep, name="sweep")
