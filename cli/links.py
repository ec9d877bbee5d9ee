# SPDX-License-Identifier: Apache-2.0
"""``spikelink channel show|set|reset``: the channel's links while it runs."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import CommandError
from cli.options import CHANNEL_URL, AdminTokenFile, AsJson, ChannelUrl, Timeout, TokenFile, read_token

if TYPE_CHECKING:
    from client import Client
    from service.wire import LinkCounters

channel = typer.Typer(help="Show, change and reset the channel's links.")

LinkName = Annotated[str, typer.Argument(metavar="[LINK]", help="forward or feedback.")]


@channel.command()
def show(
    url: ChannelUrl = CHANNEL_URL,
    token_file: TokenFile = None,
    timeout_s: Timeout = 10.0,
    as_json: AsJson = False,
) -> None:
    """Show each link, its impairments and what has crossed it."""
    with _channel(url, token_file, timeout_s) as client:
        _print(client.links(), as_json)


@channel.command("set")
def set_(
    link: LinkName = "forward",
    ber: Annotated[
        float | None, typer.Option(min=0, max=0.5, help="Probability that a bit of this link flips.")
    ] = None,
    latency_ms: Annotated[float | None, typer.Option(min=0, max=60_000, help="Delay of each frame.")] = None,
    model: Annotated[
        str | None, typer.Option(help="How the forward link's flips lie: bsc, bursts, or a model of your own.")
    ] = None,
    feedback_ber: Annotated[
        float | None, typer.Option(min=0, max=0.5, help="The same as 'set feedback --ber', in one go.")
    ] = None,
    url: ChannelUrl = CHANNEL_URL,
    token_file: AdminTokenFile = None,
    timeout_s: Timeout = 10.0,
    as_json: AsJson = False,
) -> None:
    """Change a link from its next frame on; what is not named stays."""
    of_link = {"ber": ber, "latency_ms": latency_ms, "model": model}
    if all(value is None for value in (*of_link.values(), feedback_ber)):
        raise CommandError("nothing to change: give --ber, --latency-ms, --model or --feedback-ber")
    if feedback_ber is not None and link == "feedback" and ber is not None:
        raise CommandError("--ber and --feedback-ber both name the feedback link's value: give one of them")
    changed: list[LinkCounters] = []
    with _channel(url, token_file, timeout_s) as client:
        if any(value is not None for value in of_link.values()):
            changed.append(client.change_link(link, ber=ber, latency_ms=latency_ms, model=model))
        if feedback_ber is not None:
            changed.append(client.change_link("feedback", ber=feedback_ber))
    _print(changed, as_json)


@channel.command()
def reset(
    link: Annotated[
        str | None, typer.Argument(metavar="[LINK]", help="forward or feedback; both unless given.")
    ] = None,
    url: ChannelUrl = CHANNEL_URL,
    token_file: AdminTokenFile = None,
    timeout_s: Timeout = 10.0,
    as_json: AsJson = False,
) -> None:
    """Set a link, or both, back to what the channel started with."""
    with _channel(url, token_file, timeout_s) as client:
        _print(client.reset_links(link), as_json)


@contextmanager
def _channel(url: str, token_file: Path | None, timeout_s: float) -> Iterator["Client"]:
    from client import Client

    token = read_token(token_file, "SPIKELINK_ADMIN_TOKEN", "SPIKELINK_TOKEN")
    with Client(channel_url=url, admin_token=token, timeout_s=timeout_s) as client:
        try:
            yield client
        except ValueError as error:
            raise CommandError(str(error)) from None


def _print(links: Sequence["LinkCounters"], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([link.model_dump() for link in links], indent=2))
        return
    from rich.table import Table

    from cli.terminal import output

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for heading in ("link", "model", "BER", "latency", "revision", "bits", "flipped"):
        table.add_column(heading, justify="left" if heading in ("link", "model") else "right")
    for link in links:
        share = f" ({link.flipped_bits / link.bits:.2%})" if link.bits else ""
        table.add_row(
            link.name,
            link.model,
            f"{link.ber:g}",
            f"{link.latency_ms:g} ms",
            str(link.revision),
            f"{link.bits:,}",
            f"{link.flipped_bits:,}{share}",
        )
    output().print(table)
