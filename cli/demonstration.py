# SPDX-License-Identifier: Apache-2.0
"""What the demonstration sends and shows, once the nodes are up."""

from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.ladder import draw_ladder
from cli.photographs import Photograph
from cli.tally import Tally, tally_table
from cli.terminal import signs_of
from client import Client
from service.wire import Classification

BERS: Final = (0.0, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Demonstration:
    """Pictures through one edge, at each BER with the same noise seed."""

    console: Console
    client: Client
    seed: int

    def photographs(self, pictures: list[Photograph]) -> None:
        """Each photograph at each BER: the first one's ladders, then all of them in two tables."""
        contents, rows = [picture.cropped() for picture in pictures], {}
        for ber in BERS:
            rows[ber] = [self.client.classify(content, ber=ber, seed=self.seed) for content in contents]
            self._ladder(pictures[0], rows[ber][0])
        tallies = {ber: Tally(row, _right(pictures, row)) for ber, row in rows.items()}
        title = f"The {len(pictures)} photographs of scikit-image, seed {self.seed}"
        self.console.print("", self._answers(pictures, rows), "", tally_table(title, tallies), sep="\n")

    def _ladder(self, picture: Photograph, result: Classification) -> None:
        heading = Text.assemble((f"{picture.path.name} at BER {result.ber:g}", "bold"), ": ")
        heading.append_text(self._mark(picture, result))
        heading.append(f", {result.bandwidth_bits:,} bits, {result.outcome.replace('_', ' ')}")
        self.console.print("", heading, sep="\n")
        draw_ladder(self.console, result)

    def _answers(self, pictures: list[Photograph], rows: dict[float, list[Classification]]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("photograph of", no_wrap=True)
        for ber in rows:
            table.add_column(f"BER {ber:g}", no_wrap=True)
        for place, picture in enumerate(pictures):
            marks = [self._mark(picture, row[place]) for row in rows.values()]
            table.add_row(picture.label, *marks)
        return table

    def _mark(self, picture: Photograph, result: Classification) -> Text:
        signs = signs_of(self.console)
        if result.label == picture.label:
            return Text(f"{signs.right_mark} {result.label}", "green")
        return Text(f"{signs.wrong_mark} {result.label}", "red")


def _right(pictures: list[Photograph], row: list[Classification]) -> int:
    return sum(result.label == picture.label for picture, result in zip(pictures, row, strict=True))
