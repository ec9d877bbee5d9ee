# SPDX-License-Identifier: Apache-2.0
"""What the project wants to reach, each with the figure that was measured, a computed verdict, and what is missing."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from experiments.figures.background import Aim, tried
from experiments.figures.results import Results, Row, one, where

PAPER_SYSTEM: Final = "snn-sc-harq"
OWN_SYSTEM: Final = "snn-sc-margin-harq"
#: Our own rules; not every profile has the second.
OWN_SYSTEMS: Final = (OWN_SYSTEM, "snn-sc-learned-harq")
#: The largest gap of the paper's Table I, in points.
PAPER_GAP: Final = 0.11
_BACKBONE_AIM: Final = {"resnet18": 75.0, "resnet18-t1": 75.0, "resnet50": 77.81}
_LOSS_AIMS: Final = {0.0: 1.5, 0.1: 2.0, 0.2: 3.0, 0.3: 6.0}
_OWN_AIMS: Final = {0.2: 0.4, 0.3: 1.5}


@dataclass(frozen=True)
class Target:
    """``holds`` is None where the figures at hand do not decide.

    ``missed`` is by how much it does not hold, in words, and ``tried`` the decisions that say what was done about it.
    """

    claim: str
    aim: str
    found: str
    holds: bool | None
    missed: str = ""
    tried: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return {True: "holds", False: "does not hold", None: "not decided here"}[self.holds]

    @property
    def shortfall(self) -> str:
        """By how much it does not hold, and links to what was tried; empty where it holds or is not decided."""
        if self.holds is not False:
            return ""
        links = ", ".join(f"[{name[:4]}](decisions/{name}.md)" for name in self.tried)
        return f"{self.missed}; {links}" if links else self.missed


def targets(results: Results) -> list[Target]:
    """Row by row."""
    first: tuple[Callable[[Results], Target], ...] = (_backbone, _loss, _default_bandwidth, _bandwidth_rises, _table1)
    rest: tuple[Callable[[Results], Target], ...] = (
        _knows_spearman, _knows_prior, _knows_more_than_p, _adapts, _pearson, _ldpc,
    )  # fmt: skip
    own = [_own_rule(results, system) for system in OWN_SYSTEMS if system in results.harq_systems]
    return [*(row(results) for row in first), *own, *(row(results) for row in rest)]


def signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}"


def bracket(interval: list[float]) -> str:
    return f"[{interval[0]:+.2f}, {interval[1]:+.2f}]"


def _backbone(results: Results) -> Target:
    aim, first = _BACKBONE_AIM.get(results.profile), results.first_backbone
    said = "not at hand" if first is None else accuracy_with_interval(first)
    shipped = f"as shipped {accuracy_with_interval(results.rates['backbone'])}"
    holds = None if aim is None or first is None else first["accuracy"] >= aim
    missed = "" if aim is None or first is None else f"{max(0, aim - first['accuracy']):.2f} points short"
    said_aim = "" if aim is None else f">= {aim} %"
    found, done = f"as first trained {said}; {shipped}", tried(results.profile, Aim.BACKBONE)
    return Target("backbone, test accuracy", said_aim, found, holds, missed, done)


def accuracy_with_interval(row: Row) -> str:
    low, high = row["accuracy_interval"]
    return f"{row['accuracy']:.2f} % [{low:.2f}, {high:.2f}]"


def lost(results: Results, system: str) -> dict[float, Row]:
    """By BER, the points that a system loses against the backbone as first trained; empty where that is not at hand."""
    first = results.first_backbone
    return {} if first is None else {row["ber"]: row for row in where(first["lost"], system=system)}


def _loss(results: Results) -> Target:
    aim, named = (" / ".join(f"{value:g}" for value in values) for values in (_LOSS_AIMS.values(), _LOSS_AIMS))
    claim = f"lost by the link ({PAPER_SYSTEM}, default theta) at BER {named}, points"
    found = lost(results, PAPER_SYSTEM)
    if not _LOSS_AIMS.keys() <= found.keys():
        return Target(claim, f"<= {aim}", "", None)
    said = " / ".join(f"{signed(found[ber]['points'])} {bracket(found[ber]['interval'])}" for ber in _LOSS_AIMS)
    over = {ber: found[ber]["points"] - most for ber, most in _LOSS_AIMS.items() if found[ber]["points"] > most}
    missed = ", ".join(f"{points:.2f} points too many at BER {ber:g}" for ber, points in over.items())
    return Target(claim, f"<= {aim}", said, not over, missed, tried(results.profile, Aim.LOSS))


def _default_bandwidth(results: Results) -> Target:
    claim = f"default theta of {PAPER_SYSTEM}: mean bandwidth at BER 0, and more at BER 0.3"
    aim = "<= 2,592 bits, >= +500 bits"
    if not {0.0, 0.3} <= set(results.bers):
        return Target(claim, aim, "", None)
    low, high = (results.point(PAPER_SYSTEM, "default", ber)["bandwidth_bits"] for ber in (0.0, 0.3))
    missed = f"{max(0, low - 2592):,.0f} bits too many at BER 0, {max(0, 500 - (high - low)):,.0f} too few more at 0.3"
    said, holds = f"{low:,.0f} bits, {high - low:+,.0f} bits", low <= 2592 and high - low >= 500
    return Target(claim, aim, said, holds, missed, tried(results.profile, Aim.DEFAULT_BANDWIDTH))


def _bandwidth_rises(results: Results) -> Target:
    fall_bits, with_theta = largest_fall_bits(results), rises_with_theta(results)
    found = {True: "yes", False: "not everywhere"}
    said = f"with BER: {found[fall_bits <= 0]}; with theta: {found[with_theta]}"
    missed = f"it falls by up to {max(0, fall_bits):,.0f} bits from a BER to the next"
    claim, done = "mean bandwidth rises with BER and with theta", tried(results.profile, Aim.RISING_BANDWIDTH)
    return Target(claim, "yes", said, fall_bits <= 0 and with_theta, missed, done)


def bandwidths(results: Results) -> list[list[float]]:
    """Mean bits of the paper's system, a row a threshold of the figures, a column a BER."""
    settings = results.gaps["settings"]
    return [[row["bandwidth_bits"] for row in results.points(PAPER_SYSTEM, setting)] for setting in settings]


def largest_fall_bits(results: Results) -> float:
    """By how many bits the mean bandwidth falls at most from a BER to the next; negative where it always rises."""
    return max(low - high for row in bandwidths(results) for low, high in pairwise(row))


def rises_with_theta(results: Results) -> bool:
    columns = zip(*bandwidths(results), strict=True)
    return all(low <= high for column in columns for low, high in pairwise(column))


def _table1(results: Results) -> Target:
    cells, mean = table1_cells(results, PAPER_SYSTEM)
    axis = mean["axis"]
    worse = [cell for cell in cells if cell[f"interval_{axis}"][1] < -PAPER_GAP]
    said = (
        f"mean {signed(mean[f'gap_{axis}'])} {bracket(mean[f'interval_{axis}'])}; "
        f"{len(worse)} of {len(cells)} cells wholly below -{PAPER_GAP}"
    )
    claim = f"Table I: {PAPER_SYSTEM} minus Multi-rate at equal mean bandwidth, points"
    aim, holds = f"mean >= 0, no cell wholly below -{PAPER_GAP}", mean[f"gap_{axis}"] >= 0 and not worse
    short = -mean[f"gap_{axis}"]
    missed = _both(f"the mean by {short:.2f} points" if short > 0 else "", _below(worse))
    return Target(claim, aim, said, holds, missed, tried(results.profile, Aim.TABLE1))


def _own_rule(results: Results, system: str) -> Target:
    cells, mean = table1_cells(results, system)
    gap, interval = f"gap_{mean['axis']}", f"interval_{mean['axis']}"
    claim = f"our rule ({system}), same table, points"
    aim = "default theta: +0.4 at BER 0.2, +1.5 at 0.3; no cell's interval wholly below 0"
    if not _OWN_AIMS.keys() <= set(results.bers):
        return Target(claim, aim, "", None)
    default = {ber: one(results.gaps["cells"], system=system, setting="default", ber=ber) for ber in _OWN_AIMS}
    below = [cell for cell in cells if cell[interval][1] < 0]
    said = ", ".join(f"{signed(cell[gap])} {bracket(cell[interval])} at BER {ber:g}" for ber, cell in default.items())
    holds = all(cell[gap] >= _OWN_AIMS[ber] for ber, cell in default.items()) and not below
    found = f"default theta: {said}; {len(below)} of {len(cells)} cells wholly below 0"
    short = {ber: _OWN_AIMS[ber] - cell[gap] for ber, cell in default.items() if cell[gap] < _OWN_AIMS[ber]}
    by = ", ".join(f"{points:.2f} points short at BER {ber:g}" for ber, points in short.items())
    return Target(claim, aim, found, holds, _both(by, _below(below)), tried(results.profile, Aim.OWN_RULE))


def _both(*said: str) -> str:
    return "; ".join(part for part in said if part)


def _below(cells: list[Row]) -> str:
    return f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'} below" if cells else ""


def _knows_spearman(results: Results) -> Target:
    claim, aim = "Spearman of estimate and true similarity within (BER 0.2, t)", ">= 0.5"
    cells = where(results.similarity["cells"], ber=0.2)
    if not cells:
        return Target(claim, aim, "", None)
    values = [_rank(cell, "spearman") for cell in cells]
    said = " / ".join(f"{value:.2f}" for value in values) + " at t = " + " / ".join(str(cell["t"]) for cell in cells)
    missed = f"{max(0, 0.5 - min(values)):.2f} short"
    return Target(claim, aim, said, min(values) >= 0.5, missed, tried(results.profile, Aim.SPEARMAN))


def _rank(cell: Row, name: str) -> float:
    """A rank correlation; an estimate that does not vary knows nothing."""
    return float(cell[name] or 0.0)


def _knows_prior(results: Results) -> Target:
    cells = results.similarity["cells"]
    worse = sum(_rank(cell, "spearman_shuffled") < _rank(cell, "spearman") for cell in cells)
    said = f"lower rank correlation in {worse} of {len(cells)} (BER, t) cells"
    claim, missed = "the estimate is worse with another image's K", f"not in {len(cells) - worse} cells"
    return Target(claim, "in all cells", said, worse == len(cells), missed, tried(results.profile, Aim.PRIOR))


def _knows_more_than_p(results: Results) -> Target:
    mean = one(results.gaps["means"], system=PAPER_SYSTEM)
    said = f"mean {signed(mean['gap_control'])} {bracket(mean['interval_control'])} points"
    claim = f"{PAPER_SYSTEM} is better than a control policy that knows p and t alone"
    missed = f"the interval reaches down to {signed(mean['interval_control'][0])} points"
    holds, done = mean["interval_control"][0] > 0, tried(results.profile, Aim.CONTROL)
    return Target(claim, "> 0 at equal mean bandwidth", said, holds, missed, done)


def _adapts(results: Results) -> Target:
    claim, aim = "the policy adapts at the default theta and BER 0.2", ">= 2 values of t with 10 % each"
    if 0.2 not in results.bers:
        return Target(claim, aim, "", None)
    share = results.point(PAPER_SYSTEM, "default", 0.2)["share_by_t"]
    said = " / ".join(f"{100 * value:.0f} %" for value in share) + " of the images end at t = t0..T"
    enough = sum(value >= 0.1 for value in share)
    return Target(claim, aim, said, enough >= 2, f"{enough} values", tried(results.profile, Aim.ADAPTS))


def _pearson(results: Results) -> Target:
    rows = [row for row in results.similarity["correlations"] if row["ber"] in results.shown_bers]
    said = "; ".join(
        f"{'-' if row['pearson_estimate'] is None else format(row['pearson_estimate'], '.3f')}"
        f" at BER {row['ber']:g} (span {row['accuracy_span']:.2f} points)"
        for row in rows
    )
    wide = [row for row in rows if row["accuracy_span"] > 1]
    holds = all((row["pearson_estimate"] or 0) >= 0.95 for row in wide) if wide else None
    claim, aim = "Pearson of mean similarity and accuracy over bandwidths", ">= 0.95 where the span > 1 point"
    least = min((row["pearson_estimate"] or 0 for row in wide), default=0.0)
    missed = f"{max(0, 0.95 - least):.3f} short"
    return Target(claim, aim, said, holds, missed, tried(results.profile, Aim.PEARSON))


def _ldpc(results: Results) -> Target:
    claim, aim = "LDPC baseline: cliff", "by BER 0.15"
    points = {row["ber"]: row["accuracy"] for row in results.points("snn-sc-ldpc-harq")}
    if not {0.0, 0.15} <= points.keys():
        return Target(claim, aim, "", None)
    said = f"{points[0.0]:.1f} % at BER 0, {points[0.15]:.1f} % at BER 0.15"
    missed = f"it loses {points[0.0] - points[0.15]:.1f} points by then, half would be {points[0.0] / 2:.1f}"
    return Target(claim, aim, said, points[0.15] < points[0.0] / 2, missed, tried(results.profile, Aim.LDPC))


def table1_cells(results: Results, system: str) -> tuple[list[Row], Row]:
    """The 21 cells of a system, without those at its default theta, and their mean."""
    settings = results.gaps["settings"]
    cells = [cell for cell in where(results.gaps["cells"], system=system) if cell["setting"] in settings]
    return cells, one(results.gaps["means"], system=system)
