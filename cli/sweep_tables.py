# SPDX-License-Identifier: Apache-2.0
"""Sweeps as tables: all of a store, and the points of one."""

from collections.abc import Sequence

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.sweeps_kept import KeptSweep
from experiments.sweeps.record import Record
from experiments.sweeps.tally import Figures

#: Digits of an id that are shown, and that are enough to name it.
SHOWN = 12


def sweeps_table(kept: Sequence[KeptSweep]) -> Table:
    """One row a sweep."""
    table = _table(("id", "name", "state", "units", "points", "images", "profile"), left=3)
    for sweep in kept:
        tally, record = sweep.tally, sweep.tally.record
        units = f"{tally.units_done:,} of {tally.units_total:,}"
        row = (sweep.stored.id[:SHOWN], escape(record.spec.name or ""), sweep.state, units, f"{len(record.points):,}")
        table.add_row(*row, f"{record.images:,}", record.spec.profile)
    return table


def points_table(kept: KeptSweep) -> Group:
    """How far a sweep is, and one row for each point that has figures."""
    tally, record = kept.tally, kept.tally.record
    table = _table(("system", "theta/t", "BER", "images", "right %", "95 % interval", "mean bits", "+-"), left=1)
    title = f"sweep {kept.stored.id[:SHOWN]}{_named(record)}: {kept.state}, {tally.units_done:,} of "
    title += f"{tally.units_total:,} units; {record.images:,} images, {len(record.spec.seeds)} seed"
    title += "s" if len(record.spec.seeds) > 1 else ""
    for figures in tally.figures():
        table.add_row(*_row(figures))
    return Group(Text(title, "bold"), table)


def _named(record: Record) -> str:
    return f" ({record.spec.name})" if record.spec.name else ""


def _row(figures: Figures) -> tuple[str, ...]:
    point, (low, high) = figures.point, figures.accuracy_interval
    knob = f"{point.theta:g}" if point.theta is not None else f"t={point.t}" if point.t is not None else ""
    bits = figures.bandwidth_interval
    return (
        point.system,
        knob,
        f"{point.ber:g}",
        f"{figures.images:,}",
        f"{figures.accuracy:.2f}",
        f"{low:.2f} .. {high:.2f}",
        f"{figures.bandwidth_bits:,.1f}",
        "" if bits is None else f"{(bits[1] - bits[0]) / 2:.1f}",
    )


def _table(headings: Sequence[str], *, left: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < left else "right", no_wrap=True)
    return table
