# SPDX-License-Identifier: Apache-2.0
"""What the paper claims (arXiv 2310.08804, section III), our figure, the difference, and the evidence for why.

Every word of judgement is computed from the figures; where they do not decide, the row says so.
"""

from itertools import pairwise
from typing import Final

from experiments.figures.baseline_claims import baseline_claims
from experiments.figures.claim import Claim
from experiments.figures.results import Results, Row, one, where
from experiments.figures.targets import (
    OWN_SYSTEMS,
    PAPER_GAP,
    PAPER_SYSTEM,
    accuracy_with_interval,
    bandwidths,
    bracket,
    largest_fall_bits,
    rises_with_theta,
    signed,
    table1_cells,
)

_PAPER_BACKBONE: Final = 77.81
_PAPER_PEARSON: Final = {0.1: 0.995, 0.2: 0.958, 0.3: 0.987}


def claims(results: Results) -> list[Claim]:
    """Row by row, in the paper's order."""
    return [
        _backbone(results),
        _trend(results, "accuracy", "accuracy rises with bandwidth and falls with BER (Fig. 4a)"),
        _trend(results, "mean_estimate", "so does the estimated similarity (Fig. 4b)"),
        *(_pearson(results, ber) for ber in _PAPER_PEARSON if ber in results.shown_bers),
        _bandwidth(results),
        _no_loss(results),
        _adaptive(results),
        *baseline_claims(results),
        _graceful(results),
    ]


def _backbone(results: Results) -> Claim:
    first = results.first_backbone
    row = results.rates["backbone"] if first is None else first
    ours = float(row["accuracy"])
    why = "the paper's backbone" if results.profile == "resnet50" else "another backbone than the paper's ResNet50"
    said = accuracy_with_interval(row) + (" as shipped" if first is None else "")
    return Claim("the backbone alone", f"{_PAPER_BACKBONE} %", said, f"{ours - _PAPER_BACKBONE:+.2f} points", why)


def _trend(results: Results, value: str, claim: str) -> Claim:
    cells = [row for row in results.similarity["cells"] if row["ber"] in results.shown_bers]
    by_ber = [sorted(where(cells, ber=ber), key=lambda row: int(row["t"])) for ber in results.shown_bers]
    by_t = [
        sorted(where(cells, t=t), key=lambda row: float(row["ber"])) for t in dict.fromkeys(row["t"] for row in cells)
    ]
    rises = [low[value] <= high[value] for rows in by_ber for low, high in pairwise(rows)]
    falls = [low[value] >= high[value] for rows in by_t for low, high in pairwise(rows)]
    ours = (
        f"rises in {sum(rises)} of {len(rises)} steps of 512 bits, falls in {sum(falls)} of {len(falls)} steps of BER"
    )
    whole = all(rises) and all(falls)
    return Claim(claim, "yes, curves", ours, "none" if whole else "not everywhere", _spans(value, by_ber))


def _spans(value: str, by_ber: list[list[Row]]) -> str:
    """How far a figure moves over the bandwidths, beside how well it is known."""
    name, digits, unit = ("accuracy", 2, " points") if value == "accuracy" else ("the estimate", 3, "")
    spans = [max(row[value] for row in rows) - min(row[value] for row in rows) for rows in by_ber]
    widths = [row[f"{value}_interval"][1] - row[f"{value}_interval"][0] for rows in by_ber for row in rows]
    said = " / ".join(f"{span:.{digits}f}" for span in spans)
    return f"over the bandwidths {name} spans {said}{unit}; its interval is +-{max(widths) / 2:.{digits}f}"


def _pearson(results: Results, ber: float) -> Claim:
    row = one(results.similarity["correlations"], ber=ber)
    found, paper = row["pearson_estimate"], _PAPER_PEARSON[ber]
    claim = f"Pearson of mean estimate and accuracy over bandwidths, BER {ber:g}"
    truth = "-" if row["pearson_similarity"] is None else f"{row['pearson_similarity']:.3f}"
    why = f"accuracy spans {row['accuracy_span']:.2f} points; with the true similarity r = {truth}"
    if found is None:
        return Claim(claim, f"{paper}", "undefined", "-", why)
    return Claim(claim, f"{paper}", f"{found:.3f}", signed(found - paper, 3), why)


def _bandwidth(results: Results) -> Claim:
    settings = results.gaps["settings"]
    said = "; ".join(
        f"{bits[0]:,.0f} -> {bits[-1]:,.0f} bits at theta {results.thresholds[PAPER_SYSTEM][setting]:g}"
        for setting, bits in zip(settings, bandwidths(results), strict=True)
    )
    fall_bits = largest_fall_bits(results)
    with_ber = f"falls by up to {fall_bits:,.0f} bits between BERs" if fall_bits > 0 else "none with BER"
    with_theta = "none with theta" if rises_with_theta(results) else "not everywhere with theta"
    found = "none" if fall_bits <= 0 and rises_with_theta(results) else f"{with_ber}; {with_theta}"
    why = "the paper gives no bandwidths; its thetas are 0.635 to 0.655, ours lie on another scale of similarity"
    return Claim("bandwidth rises with BER and with theta (Fig. 5b)", "yes, curves", said, found, why)


def _no_loss(results: Results) -> Claim:
    cells, mean = table1_cells(results, PAPER_SYSTEM)
    gap, interval = f"gap_{mean['axis']}", f"interval_{mean['axis']}"
    largest = max(abs(cell[gap]) for cell in cells)
    lost = [cell for cell in cells if cell[interval][1] < 0]
    gained = [cell for cell in cells if cell[interval][0] > 0]
    ours = f"|gap| <= {largest:.2f}; mean {signed(mean[gap])} {bracket(mean[interval])} points"
    oracle = one(results.gaps["means"], system="oracle-similarity")
    own = [one(results.gaps["means"], system=name) for name in OWN_SYSTEMS if name in results.harq_systems]
    others = ", ".join(f"{row['system']} to {signed(row['gap_true'])} {bracket(row['interval_true'])}" for row in own)
    why = (
        f"intervals exclude 0 below in {len(lost)} and above in {len(gained)} of {len(cells)} cells; an oracle that "
        f"knows the true similarity comes to {signed(oracle['gap_true'])} {bracket(oracle['interval_true'])}, "
        f"{others}"
    )
    claim = "no loss against Multi-rate at equal bandwidth (Table I)"
    return Claim(claim, f"|gap| <= {PAPER_GAP}", ours, f"{signed(largest - PAPER_GAP)} at the largest", why)


def _adaptive(results: Results) -> Claim:
    mean = one(results.gaps["means"], system=PAPER_SYSTEM)
    low, high = mean["interval_control"]
    found = "gains" if low > 0 else "loses" if high < 0 else "no gain or loss beyond its interval"
    ours = f"mean {signed(mean['gap_control'])} {bracket(mean['interval_control'])} points against the control policy"
    why = (
        "the control policy sees p and t, never the image, and is given the rule's own mean bandwidth at each BER: "
        "what adapting from BER to BER is worth is not in this figure"
    )
    if results.ablated:
        why += " ([ablations](ablations.md), column `all`)"
    return Claim("superior to adjusting the bandwidth by hand", "stated", ours, found, why)


def _graceful(results: Results) -> Claim:
    low, high = results.bers[0], results.bers[-1]
    settings = results.points("multi-rate")
    drops = [
        f"{name}, {setting}: "
        f"{results.point(name, setting, low)['accuracy'] - results.point(name, setting, high)['accuracy']:.2f}"
        for name, setting in (
            (PAPER_SYSTEM, "default"),
            ("multi-rate", settings[0]["setting"]),
            ("multi-rate", settings[-1]["setting"]),
        )
    ]
    claim = f"graceful degradation: points lost from BER {low:g} to {high:g}"
    return Claim(claim, "yes, curves", "; ".join(drops), "-", "the paper gives no accuracies in its text")
