# SPDX-License-Identifier: Apache-2.0
"""A classification as a ladder: three lifelines, and for each round an arrow there and an arrow back."""

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

from cli.terminal import Signs, bar, signs_of
from service.wire import Classification, RoundReport, Start

NODES: Final = ("edge", "channel", "cloud")
_COLOUR: Final = {"ACK": "bold green", "NACK": "bold yellow"}
_INDENT: Final = 12
_MIN_WIDTH: Final = 72


@dataclass(frozen=True)
class Lanes:
    """The columns of the three lifelines."""

    edge: int
    channel: int
    cloud: int

    @classmethod
    def of(cls, width: int) -> "Lanes":
        edge, cloud = _INDENT, max(width, _MIN_WIDTH) - 6
        return cls(edge, (edge + cloud) // 2, cloud)

    def centred(self, labels: tuple[str, str, str], style: str) -> Text:
        """One label under or over each lifeline."""
        text = Text()
        for column, label in zip((self.edge, self.channel, self.cloud), labels, strict=True):
            text.append(" " * (column - len(label) // 2 - len(text)))
            text.append(label, style)
        return text

    def arrows(self, margin: str, first: Text, second: Text, signs: Signs) -> Text:
        """One line across all lifelines."""
        text = Text(f" {margin}".ljust(self.edge), style="dim")
        return Text.assemble(text, signs.lifeline, first, signs.lifeline, second, signs.lifeline)


class Ladder:
    """A ladder on a console, drawn from above: the names of the lifelines, then each round that is added."""

    def __init__(self, console: Console, theta: float | None) -> None:
        self._console, self._theta = console, theta
        self._lanes, self._signs = Lanes.of(console.width), signs_of(console)
        self._print(self._lanes.centred(NODES, "bold"))

    def add(self, report: RoundReport) -> None:
        """Bits and flips going right, score and feedback coming left, times under each node."""
        self._print(_there(report, self._lanes, self._signs))
        self._print(_back(report, self._theta, self._lanes, self._signs))
        times = (f"{report.edge_ms:,.1f} ms", f"{report.channel_ms:,.1f} ms", f"{report.cloud_ms:,.1f} ms")
        self._print(self._lanes.centred(times, "dim"))

    def _print(self, line: Text) -> None:
        self._console.print(line, no_wrap=True, crop=False)


def draw_ladder(console: Console, result: Classification) -> None:
    """Print the rounds of a classification."""
    ladder = Ladder(console, result.threshold)
    for report in result.rounds:
        ladder.add(report)


def draw_events(console: Console, events: Iterable[Start | RoundReport | Classification]) -> Classification:
    """Print the rounds while they happen -> the result. Raises ValueError for events that are no whole stream."""
    ladder = None
    for event in events:
        if isinstance(event, Classification):
            return event
        if isinstance(event, Start):
            ladder = Ladder(console, event.threshold)
        elif ladder:
            ladder.add(event)
    raise ValueError("the events have no result")


def _there(report: RoundReport, lanes: Lanes, signs: Signs) -> Text:
    sent = Text(f" {report.payload_bits:,} bits ", "cyan")
    share = 100 * report.flipped_bits / max(1, report.payload_bits)
    flips = (
        Text(f" {report.flipped_bits:,} flipped ({share:.1f} %) ", "red")
        if report.flipped_bits
        else Text(" none flipped ")
    )
    return lanes.arrows(
        f"round {report.round}",
        _rightward(sent, lanes.channel - lanes.edge - 1, signs),
        _rightward(flips, lanes.cloud - lanes.channel - 1, signs),
        signs,
    )


def _back(report: RoundReport, theta: float | None, lanes: Lanes, signs: Signs) -> Text:
    verdict, passed = _verdict(report, theta, signs)
    return lanes.arrows(
        f"t = {report.t}" if report.t else "",
        _leftward(_feedback(report, passed), lanes.channel - lanes.edge - 1, signs),
        _leftward(Text(verdict), lanes.cloud - lanes.channel - 1, signs),
        signs,
    )


def _feedback(report: RoundReport, passed: bool | None) -> Text:
    """As it reached the edge, and why where that is not for the score."""
    if report.feedback_inverted:
        return Text(f" {report.feedback} (inverted) ", "bold red")
    last = report.feedback == "ACK" and passed is False  # nothing is left to send, whatever the score
    return Text(f" {report.feedback} (last round) " if last else f" {report.feedback} ", _COLOUR[report.feedback])


def _verdict(report: RoundReport, theta: float | None, signs: Signs) -> tuple[str, bool | None]:
    """What the cloud went by, and whether it was enough; None where nothing was judged."""
    if report.crc_ok is not None:
        return (" CRC holds ", True) if report.crc_ok else (" CRC fails ", False)
    scores = {"outlook": report.outlook, "margin": report.margin, "sim": report.similarity}
    name, score = next(((name, score) for name, score in scores.items() if score is not None), ("", None))
    if score is None or theta is None:
        return " fixed rate ", None
    # As float32, because that is how the cloud compares them.
    passed = ctypes.c_float(score).value > ctypes.c_float(theta).value
    return f" {name} {score:.3f} {'>' if passed else signs.at_most} {signs.theta} {theta:.3f} ", passed


def _rightward(label: Text, width: int, signs: Signs) -> Text:
    rest = max(0, width - 3 - len(label))
    return Text.assemble(signs.line * 2, label, signs.line * rest, signs.right)


def _leftward(label: Text, width: int, signs: Signs) -> Text:
    rest = max(0, width - 3 - len(label))
    return Text.assemble(signs.left, signs.line * rest, label, signs.line * 2)


def draw_answer(console: Console, result: Classification) -> None:
    """Print the five most probable classes as bars, then how the session went."""
    signs = signs_of(console)
    width = max(console.width, _MIN_WIDTH) - _INDENT - 18 - 11
    console.print()
    for place, label in enumerate(result.top):
        length = bar(label.probability, width, signs)
        style = "bold" if place == 0 else ""
        line = Text.assemble(
            " " * _INDENT,
            (f"{label.label:<18}", style),
            (length.ljust(width), "cyan"),
            f"{100 * label.probability:>8.1f} %",
        )
        console.print(line, no_wrap=True, crop=False)
    console.print()
    for name, value in summary(result):
        console.print(Text.assemble((f" {name}".ljust(_INDENT), "dim"), value), no_wrap=True, crop=False)


def summary(result: Classification) -> Iterator[tuple[str, str | Text]]:
    """How the session went, by name."""
    flipped = sum(report.flipped_bits for report in result.rounds)
    theta = "" if result.threshold is None else f", theta {result.threshold:.3f}"
    yield "label", Text(result.label, "bold green")
    yield "outcome", _outcome(result)
    yield "system", f"{result.system} on {result.profile}{theta}"
    yield "bandwidth", f"{result.bandwidth_bits:,} bits, and {result.feedback_bits} of feedback"
    yield "noise", f"BER {result.ber:g}: {flipped:,} bits flipped; seed {result.seed}, block {result.block}"
    if result.wire_bytes is not None:
        yield "wire", f"{result.wire_bytes:,} bytes between edge and channel, both ways"
    yield "total", f"{result.total_ms:,.1f} ms"
    yield from _incidents(result)


def _outcome(result: Classification) -> str:
    rounds = "1 round" if len(result.rounds) == 1 else f"{len(result.rounds)} rounds"
    by_crc = any(report.crc_ok is not None for report in result.rounds)
    reason = {
        "accepted": "",
        "exhausted": ", the CRC never held" if by_crc else ", the score never above theta",
        "feedback_error": ": an ACK or NACK arrived inverted",
    }[result.outcome]
    return f"{result.outcome.replace('_', ' ')} in {rounds}{reason}"


def _incidents(result: Classification) -> Iterator[tuple[str, str | Text]]:
    if result.http_retries:
        yield "retries", f"{result.http_retries} HTTP requests were repeated after a transport error"
    if result.restarts:
        yield "restarts", f"{result.restarts}: the cloud had lost the session, its frames were sent again"
    if not result.durable:
        yield "store", Text("the session was kept in memory alone: the store is down", "yellow")
