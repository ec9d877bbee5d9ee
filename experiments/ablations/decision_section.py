# SPDX-License-Identifier: Apache-2.0
"""The decision's part of ``docs/ablations.md``: what the template shows of a profile's stop rules."""

from collections.abc import Mapping, Sequence
from typing import Final

from experiments.ablations.wording import ALL, points, said, verdict
from experiments.figures.markdown import table
from experiments.figures.results import Row, one, where
from experiments.figures.targets import OWN_SYSTEM, signed

_LABELS: Final = {
    OWN_SYSTEM: "margin rule",
    "snn-sc-harq": "SimNet's estimate",
    "largest-probability": "largest probability",
}


_PREDICTS: Final = {
    "change": "more bits would change whether the label is right",
    "net": "more bits would sooner make it right than wrong",
}


def decision_section(record: Row) -> Mapping[str, object]:
    """What the template shows of a profile's stop rules."""
    rules = list(dict.fromkeys(row["rule"] for row in record["gaps"]))
    bers = list(dict.fromkeys(row["ber"] for row in record["gaps"]))
    return {
        "record": record,
        "verdicts": [_verdict(record, rule, bers) for rule in record["learned"]],
        "learned": _learned(record),
        "winners": _winners(record),
        "gaps": _means(record, rules, bers, "gap"),
        "over_margin": _means(record, [rule for rule in rules if rule != OWN_SYSTEM], bers, "over_margin"),
        "over_fewer": _means(record, [rule["rule"] for rule in record["learned"]], bers, "over_fewer"),
        "cells": _cells(record, rules, bers),
        "helped": _areas(record, rules, "helped"),
        "right": _areas(record, rules, "right"),
    }


def _label(rule: str) -> str:
    return _LABELS.get(rule, rule)


def _mean(record: Row, rule: str, ber: float | str) -> Row:
    """Over bandwidths."""
    return one(record["gaps"], rule=rule, ber=ber, share=ALL)


def _learned(record: Row) -> str:
    rows = [
        [
            rule["rule"],
            ", ".join(rule["inputs"]),
            _PREDICTS[rule["score"]],
            _label(rule["extends"]),
            f"{rule['loss']:.4f}",
        ]
        for rule in record["learned"]
    ]
    return table(["rule", "looks at", "goes on where", "extends", "loss, nats"], rows)


def _verdict(record: Row, learned: Row, bers: Sequence[float | str]) -> str:
    rule, fewer = learned["rule"], learned["extends"]
    mean = _mean(record, rule, ALL)
    over = mean["over_margin"]
    told = [
        f"{verdict(figure)} at BER {said(ber)}, {points(figure)}"
        for ber in bers
        if ber != ALL and verdict(figure := _mean(record, rule, ber)["over_margin"]) != "not told apart"
    ]
    alone = "; ".join(told) or "not told apart at any BER alone"
    text = f"`{rule}` less the margin rule: {points(over)} ({verdict(over)}); {alone}."
    if fewer != OWN_SYSTEM:
        text += f" Less `{fewer}`: {points(mean['over_fewer'])} ({verdict(mean['over_fewer'])})."
    return text


def _winners(record: Row) -> str:
    """Learned rules that are better than the margin rule over all BERs together, the best first."""
    over = {rule["rule"]: _mean(record, rule["rule"], ALL)["over_margin"] for rule in record["learned"]}
    better = [rule for rule, figure in over.items() if verdict(figure) == "better"]
    if not better:
        return "No learned rule is better than the margin rule over all BERs together."
    better.sort(key=lambda rule: -float(over[rule]["points"]))
    names = ", ".join(f"`{rule}`" for rule in better)
    return f"Better than the margin rule over all BERs together, the best first: {names}."


def _means(record: Row, rules: Sequence[str], bers: Sequence[float | str], kind: str) -> str:
    rows = [[_label(rule), *(points(_mean(record, rule, ber)[kind]) for ber in bers)] for rule in rules]
    return table(["rule", *map(said, bers)], rows)


def _cells(record: Row, rules: Sequence[str], bers: Sequence[float | str]) -> str:
    rows = []
    for rule in rules:
        for share in record["shares"]:
            found = where(record["gaps"], rule=rule, share=share)
            bits = one(found, ber=ALL)["bandwidth_bits"]
            rows.append([_label(rule), f"{bits:,.0f}", *(signed(one(found, ber=b)["gap"]["points"]) for b in bers)])
    return table(["rule", "bits", *map(said, bers)], rows)


def _areas(record: Row, rules: Sequence[str], kind: str) -> str:
    bers = record["bers"]
    rows = []
    for rule in rules:
        areas = [one(record["areas"], rule=rule, ber=ber)[kind] for ber in bers]
        rows.append([_label(rule), *("-" if area is None else f"{area:.3f}" for area in areas)])
    return table(["rule", *map(said, bers)], rows)
