# SPDX-License-Identifier: Apache-2.0
"""What many classifications come to: accuracy with its interval, mean bandwidth and rounds, outcomes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from experiments.sweeps.statistics import wilson_interval
from service.wire import Classification


@dataclass(frozen=True)
class Tally:
    """The classifications of one system at one BER, and how many were right."""

    results: Sequence[Classification]
    right: int

    @property
    def bandwidth_bits(self) -> float:
        return sum(result.bandwidth_bits for result in self.results) / len(self.results)

    @property
    def rounds(self) -> float:
        return sum(len(result.rounds) for result in self.results) / len(self.results)

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(result.outcome for result in self.results)


def tally_table(title: str, tallies: Mapping[float, Tally]) -> Table:
    """One row for each BER."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("BER", "images", "right", "accuracy", "95 % interval", "mean bits", "mean rounds", "exhausted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for ber, tally in tallies.items():
        count = len(tally.results)
        low, high = wilson_interval(tally.right, count)
        table.add_row(
            f"{ber:g}",
            f"{count:,}",
            f"{tally.right:,}",
            f"{100 * tally.right / count:.1f} %",
            f"{100 * low:.1f} .. {100 * high:.1f}",
            f"{tally.bandwidth_bits:,.0f}",
            f"{tally.rounds:.2f}",
            f"{tally.outcomes['exhausted']:,}",
        )
    return table
