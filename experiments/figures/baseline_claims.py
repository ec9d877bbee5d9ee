# SPDX-License-Identifier: Apache-2.0
"""What the paper says of separate coding, and of codecs without spikes, beside our baselines."""

from collections.abc import Sequence
from typing import Final

from experiments.figures.background import but_for_training
from experiments.figures.claim import Claim
from experiments.figures.results import Results, Row, where
from experiments.figures.targets import bracket, signed

_LDPC: Final = "snn-sc-ldpc-harq"
_CNN: Final = "cnn-1bit"
#: Above this BER the paper's LDPC no longer corrects; by the other its bandwidth is at the limit.
_CLIFF_BER: Final = 0.1
_LIMIT_BER: Final = 0.15
_LIMIT_BITS: Final = 4128


def baseline_claims(results: Results) -> list[Claim]:
    """As far as the baselines were measured."""
    found = []
    if points := results.points(_LDPC):
        found += [_cliff(results, points), *_ldpc_bandwidth(points)]
    if gaps := where(results.gaps["baselines"], system=_CNN, ber=max(results.bers)):
        found.append(_spikes(gaps, max(results.bers), but_for_training(results.profile)))
    return found


def _cliff(results: Results, points: Sequence[Row]) -> Claim:
    below = [row for row in where(results.gaps["baselines"], system=_LDPC) if row["ber"] < _CLIFF_BER]
    at_equal_bits = ", ".join(f"{_gap(row)} at {row['ber']:g}" for row in below)
    compared = f"{_against(below)} Multi-rate at equal bits below BER {_CLIFF_BER:g} ({at_equal_bits})"
    first, above = points[0], [row for row in points if row["ber"] > _CLIFF_BER]
    falls = ", ".join(f"{first['accuracy'] - row['accuracy']:.1f} at {row['ber']:g}" for row in above)
    lost = f"from BER {first['ber']:g} it loses {falls}" if falls else f"not measured above BER {_CLIFF_BER:g}"
    why = "its cliff comes out of the LDPC decoder, not of a rule"
    if _has_more(results.points(_CNN), [row for row in points if row["ber"] < _CLIFF_BER]):
        why += f"; the 1-bit CNN, which the paper lacks, has more at no more bits below BER {_CLIFF_BER:g}"
    return Claim(
        "separate coding is best below BER 0.1 and collapses above",
        "stated",
        "; ".join(f"{row['accuracy']:.1f} % at BER {row['ber']:g}" for row in points),
        f"{compared if below else f'not compared below BER {_CLIFF_BER:g}'}; {lost}",
        why + but_for_training(results.profile),
    )


def _against(gaps: Sequence[Row]) -> str:
    """Which side of Multi-rate the intervals lie on."""
    ahead = [row for row in gaps if row["interval_true"][0] > 0]
    behind = [row for row in gaps if row["interval_true"][1] < 0]
    if not ahead and not behind:
        return "not told apart from"
    for found, said in ((ahead, "ahead of"), (behind, "behind")):
        if len(found) == len(gaps):
            return said
    return f"ahead in {len(ahead)} and behind in {len(behind)} of {len(gaps)} BERs of"


def _has_more(rival: Sequence[Row], points: Sequence[Row]) -> bool:
    """Whether a baseline has a higher accuracy at each of these points, with a setting that sends no more bits."""
    return bool(points) and all(
        any(
            other["accuracy"] > row["accuracy"] and other["bandwidth_bits"] <= row["bandwidth_bits"]
            for other in where(rival, ber=row["ber"])
        )
        for row in points
    )


def _ldpc_bandwidth(points: Sequence[Row]) -> list[Claim]:
    """Nothing where it was not measured at the BER of the claim or beyond."""
    reached = next((row for row in points if row["ber"] >= _LIMIT_BER), None)
    if reached is None:
        return []
    bits = " / ".join(f"{row['bandwidth_bits']:,.0f}" for row in points)
    bers = " / ".join(f"{row['ber']:g}" for row in points)
    short_bits = _LIMIT_BITS - reached["bandwidth_bits"]
    claim = Claim(
        "separate coding's bandwidth rises sharply above BER 0.05 and is at its limit by 0.15 (Fig. 5b)",
        "yes, curves",
        f"{bits} bits at BER {bers}",
        "none" if short_bits < 1 else f"{short_bits:,.0f} bits below the limit at BER {reached['ber']:g}",
        "its CRC decides, not a threshold",
    )
    return [claim]


def _spikes(gaps: Sequence[Row], ber: float, training: str) -> Claim:
    """The fewest and the most bits at which both were measured, where the channel is worst."""
    ordered = sorted(gaps, key=lambda row: float(row["setting"].removeprefix("t=")))
    ends = [ordered[0], ordered[-1]]
    ours = ", ".join(f"{_gap(row)} at {row['setting']}" for row in ends)
    return Claim(
        "spikes are more robust on a bad channel than a codec without (cited from others)",
        "stated",
        f"1-bit CNN less Multi-rate at BER {ber:g}: {ours} points",
        f"at the fewest bits the codec without spikes is {_beside(ends[0])} the spiking one",
        f"our own baseline, of the same size and trained over the same BERs; the paper measures none{training}",
    )


def _gap(row: Row) -> str:
    return f"{signed(row['gap_true'])} {bracket(row['interval_true'])}"


def _beside(gap: Row) -> str:
    low, high = gap["interval_true"]
    return "ahead of" if low > 0 else "behind" if high < 0 else "not told apart from"
