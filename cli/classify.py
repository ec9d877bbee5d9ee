# SPDX-License-Identifier: Apache-2.0
"""``spikelink classify IMAGE``: one image through the three nodes, its rounds drawn as a ladder while they happen."""

from pathlib import Path
from typing import Annotated, TypedDict

import typer

from cli.options import EDGE_URL, MAX_INDEX, TIMEOUT_S, AsJson, EdgeUrl, Timeout, TokenFile, read_token


class _Terms(TypedDict):
    """What the edge is asked for besides the image, whichever way it answers."""

    ber: float | None
    seed: int | None
    threshold: float | None
    system: str | None
    profile: str | None
    t: int | None
    block: int | None


def classify(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A PNG, JPEG or WebP file.", show_default=False)],
    ber: Annotated[
        float | None, typer.Option(min=0, max=0.5, help="Bit error rate of this session, instead of the link's.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_INDEX, help="Seed of the noise; drawn unless given.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Theta: the score above which the cloud says ACK.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="For example snn-sc-harq, snn-sc-ldpc-harq or bypass.")] = None,
    profile: Annotated[str | None, typer.Option(help="For example resnet18.")] = None,
    t: Annotated[int | None, typer.Option("--t", min=0, help="Time steps, for multi-rate and cnn-1bit alone.")] = None,
    block: Annotated[int | None, typer.Option(min=0, max=MAX_INDEX, help="Which block of the noise.")] = None,
    edge: EdgeUrl = EDGE_URL,
    token_file: TokenFile = None,
    timeout_s: Timeout = TIMEOUT_S,
    as_json: AsJson = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also write the ladder as a picture.")] = None,
) -> None:
    """Classify an image and draw its HARQ rounds as they happen."""
    from client import Client

    terms: _Terms = {
        "ber": ber,
        "seed": seed,
        "threshold": threshold,
        "system": system,
        "profile": profile,
        "t": t,
        "block": block,
    }
    with Client(edge, token=read_token(token_file), timeout_s=timeout_s) as client:
        if as_json:
            result = client.classify(image, **terms)
            typer.echo(result.model_dump_json(indent=2))
        else:
            from cli.ladder import draw_answer, draw_events
            from cli.terminal import output

            console = output()
            result = draw_events(console, client.stream(image, **terms))
            draw_answer(console, result)
    if svg is not None:
        from cli.picture import write_svg

        write_svg(svg, result, f"spikelink classify {image.name} --ber {result.ber:g} --seed {result.seed}")
