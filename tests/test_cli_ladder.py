# SPDX-License-Identifier: Apache-2.0
"""The ladder as it is drawn: a golden text at 80 columns without colour, and what must hold at any width."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_edge import classification
from rich.console import Console

from cli.failures import CommandError
from cli.ladder import draw_answer, draw_events, draw_ladder
from cli.picture import write_svg
from cli.tally import Tally, tally_table
from cli.terminal import ASCII, UNICODE, bar
from service.wire import Classification, RoundReport, Start

GOLDEN = """\
          edge                          channel                         cloud
 round 1    │── 2,080 bits ───────────────▶│── 208 flipped (10.0 %) ─────▶│
 t = 4      │◀───────────────────── NACK ──│◀────── sim 0.412 ≤ θ 0.870 ──│
         3.1 ms                         0.4 ms                         13.5 ms
 round 2    │── 512 bits ─────────────────▶│── 51 flipped (10.0 %) ──────▶│
 t = 5      │◀───────────────────── NACK ──│◀────── sim 0.655 ≤ θ 0.870 ──│
         1.6 ms                         0.4 ms                         14.5 ms
 round 3    │── 512 bits ─────────────────▶│── 51 flipped (10.0 %) ──────▶│
 t = 6      │◀────────────────────── ACK ──│◀────── sim 0.914 > θ 0.870 ──│
         1.0 ms                         0.4 ms                         15.5 ms

            rocket            ███████████████████████████▊               71.2 %
            bottle            ████                                       10.1 %
            tower             ██▌                                         6.4 %
            bridge            █▎                                          3.3 %
            lamp              ▍                                           0.9 %

 label      rocket
 outcome    accepted in 3 rounds
 system     snn-sc-harq on resnet18, theta 0.870
 bandwidth  3,104 bits, and 3 of feedback
 noise      BER 0.1: 310 bits flipped; seed 7, block 0
 wire       3,872 bytes between edge and channel, both ways
 total      51.8 ms
"""


def drawn(result: Classification, *, width: int = 80, encoding: str = "utf-8", colour: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=stream, width=width, highlight=False, force_terminal=colour, color_system="truecolor" if colour else None
    )
    draw_ladder(console, result)
    draw_answer(console, result)
    stream.seek(0)
    return stream.read()


def _with_round(**changes: object) -> Classification:
    """A session of one round that differs from the usual one in these."""
    first = classification(ber=0.0).rounds[0]
    report = RoundReport.model_validate({**first.model_dump(), **changes})
    return classification(ber=0.0).model_copy(update={"rounds": (report,)})


def test_the_ladder_at_80_columns_without_colour() -> None:
    assert drawn(classification()) == GOLDEN


def test_a_ladder_that_is_drawn_while_it_happens_is_the_same_in_the_end() -> None:
    result, stream = classification(), io.StringIO()
    console = Console(file=stream, width=80, highlight=False)
    ladder = GOLDEN.partition("\n\n")[0].splitlines(keepends=True)

    def events() -> Iterator[Start | RoundReport | Classification]:
        assert stream.getvalue() == ""
        yield Start.model_validate(result.model_dump(include=set(Start.model_fields)))
        for number, report in enumerate(result.rounds):
            assert stream.getvalue() == "".join(ladder[: 1 + 3 * number]), "all that has happened, and no more"
            yield report
        yield result

    assert draw_events(console, events()) == result
    draw_answer(console, result)
    assert stream.getvalue() == GOLDEN


def test_events_without_a_result_are_no_classification() -> None:
    with pytest.raises(ValueError, match="no result"):
        draw_events(Console(file=io.StringIO()), classification().rounds)


def test_an_encoding_without_lines_gets_a_ladder_of_ascii() -> None:
    text = drawn(classification(), encoding="ascii")
    assert " t = 4      |<--------------------- NACK --|<- sim 0.412 <= theta 0.870 --|\n" in text
    assert "rocket            ########" in text


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    "result",
    [
        classification(theta=0.95),
        classification(theta=-1.0).model_copy(
            update={"http_retries": 3, "restarts": 2, "durable": False, "wire_bytes": None}
        ),
        classification(block=2**53 - 1, seed=2**53 - 1),
        _with_round(payload_bits=131_072, flipped_bits=65_536, similarity=None, edge_ms=12_345.6, t=0),
        _with_round(similarity=-0.123, margin=0.123, feedback="NACK"),
    ],
)
def test_no_line_is_wider_than_the_console(result: Classification, width: int, encoding: str) -> None:
    lines = drawn(result, width=width, encoding=encoding).splitlines()
    assert max(map(len, lines)) <= width


def test_colours_change_no_character() -> None:
    from rich.text import Text

    assert Text.from_ansi(drawn(classification(), colour=True)).plain == GOLDEN
    assert "\x1b[" in drawn(classification(), colour=True)


def test_feedback_is_shown_as_inverted_where_the_channel_says_so() -> None:
    turned = _with_round(feedback="NACK", feedback_inverted=True)
    assert "NACK (inverted) ──│◀────── sim 0.914 > θ 0.870" in drawn(turned)
    turned = _with_round(similarity=0.5, feedback_inverted=True)
    assert "ACK (inverted) ──│◀────── sim 0.500 ≤ θ 0.870" in drawn(turned)
    turned = _with_round(similarity=None, feedback="NACK", feedback_inverted=True)
    assert "NACK (inverted) ──│◀─────────────── fixed rate" in drawn(turned)
    turned = _with_round(similarity=0.5, feedback="NACK", feedback_inverted=True)
    assert "NACK (inverted) ──│◀────── sim 0.500 ≤ θ 0.870" in drawn(turned), "the ACK of the last round"
    assert "inverted" not in drawn(_with_round(feedback="NACK")), "the channel knows, and nobody guesses"


def test_an_ack_whatever_the_score_is_that_of_the_last_round() -> None:
    """Of whatever t: profiles differ in their last one."""
    text = drawn(_with_round(similarity=0.5, t=6))
    assert "◀───────── ACK (last round) ──│◀────── sim 0.500 ≤ θ 0.870" in text
    assert "ACK (last round)" in drawn(_with_round(similarity=None, crc_ok=False))
    for kept in (_with_round(), _with_round(similarity=None), _with_round(similarity=0.5, feedback="NACK")):
        assert "last round" not in drawn(kept)


def test_similarity_and_theta_are_compared_as_float32() -> None:
    # 0.1 and its float32 neighbour are two doubles but one float32: not above theta, so this ACK was the last round's.
    result = _with_round(similarity=0.10000000149).model_copy(update={"threshold": 0.1})
    assert "ACK (last round) ──│◀────── sim 0.100 ≤ θ 0.100" in drawn(result)


def test_a_margin_is_named_and_a_system_without_a_stop_rule_has_no_score() -> None:
    assert "margin 0.500 ≤ θ 0.870" in drawn(_with_round(margin=0.5, feedback="NACK"))
    assert "outlook 0.500 ≤ θ 0.870" in drawn(_with_round(outlook=0.5, feedback="NACK"))
    text = drawn(_with_round(similarity=None).model_copy(update={"threshold": None}))
    assert "fixed rate" in text
    assert "theta" not in text


def test_a_crc_holds_or_fails() -> None:
    fails = _with_round(similarity=None, crc_ok=False).model_copy(update={"threshold": None, "outcome": "exhausted"})
    assert "CRC fails" in drawn(fails)
    assert "the CRC never held" in drawn(fails)
    holds = _with_round(similarity=None, crc_ok=True).model_copy(update={"threshold": None})
    assert "ACK ──│◀──────────────── CRC holds" in drawn(holds)


@pytest.mark.parametrize(("share", "cells"), [(0.0, 0), (1.0, 8), (0.5, 4), (2.0, 8), (-1.0, 0)])
def test_a_bar_fills_its_share(share: float, cells: int) -> None:
    assert bar(share, 8, UNICODE) == "█" * cells
    assert bar(share, 8, ASCII) == "#" * cells


def test_a_bar_shows_eighths_of_a_cell() -> None:
    assert [bar(eighths / 8, 1, UNICODE) for eighths in range(9)] == ["", *"▏▎▍▌▋▊▉█"]


def test_the_table_counts_what_it_was_given() -> None:
    stream = io.StringIO()
    rows = {0.0: Tally([classification(ber=0.0)] * 3, right=3), 0.1: Tally([classification(theta=0.95)] * 4, right=1)}
    Console(file=stream, width=80).print(tally_table("Title", rows))
    lines = [line.split() for line in stream.getvalue().splitlines()]
    assert lines[2][:5] + lines[2][-3:] == ["0", "3", "3", "100.0", "%", "2,080", "1.00", "0"]
    assert lines[3][:5] + lines[3][-3:] == ["0.1", "4", "1", "25.0", "%", "3,104", "3.00", "4"]


def test_the_picture_shows_the_ladder_and_asks_no_server_for_anything(tmp_path: Path) -> None:
    write_svg(tmp_path / "ladder.svg", classification(), "a title")
    drawn = (tmp_path / "ladder.svg").read_text()
    assert "a&#160;title" in drawn or "a title" in drawn
    assert "2,080&#160;bits" in drawn
    assert "url(" not in drawn.replace("url(#", ""), "clip paths alone are referred to, inside the file"
    with pytest.raises(CommandError, match="cannot be written"):
        write_svg(tmp_path / "none" / "ladder.svg", classification(), "a title")
