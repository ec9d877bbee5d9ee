# SPDX-License-Identifier: Apache-2.0
"""The codec's part of ``docs/ablations.md``: what the template shows of a profile's variants."""

from collections.abc import Mapping, Sequence
from typing import Final

from experiments.ablations.wording import ALL, points, said, verdict
from experiments.figures.markdown import table
from experiments.figures.results import Row, one, where
from experiments.figures.targets import OWN_SYSTEM, signed

_RULES: Final = {OWN_SYSTEM: "margin rule", "largest-probability": "largest probability"}


def codec_section(record: Row) -> Mapping[str, object]:
    """What the template shows of a profile's codecs."""
    names = list(dict.fromkeys(row["variant"] for row in record["multi_rate"]))
    bers = list(dict.fromkeys(row["ber"] for row in record["multi_rate"]))
    return {
        "record": record,
        "variants": _variants(record),
        "verdicts": [_verdict(record, name) for name in names if name != "control"],
        "winners": _winners(record, names),
        "accuracy": _accuracy(record, names, bers),
        "over_control": _over_control(record, names, bers),
        "rules": [
            {"name": name, "means": _means(record, rule, names, bers), "cells": _cells(record, rule, names, bers)}
            for rule, name in _RULES.items()
        ],
    }


def _variants(record: Row) -> str:
    rows = [
        [
            v["name"],
            v["what"],
            str(v["best_epoch"] + 1),
            f"{v['metrics']['score']:.2f} %",
            f"{v['duration_s'] / 60:.1f}",
        ]
        for v in record["variants"]
    ]
    return table(["variant", "what differs", "best epoch", "its score", "minutes"], rows)


def _accuracy(record: Row, names: Sequence[str], bers: Sequence[float | str]) -> str:
    rows = []
    for name in names:
        for t in dict.fromkeys(row["t"] for row in record["multi_rate"]):
            found = where(record["multi_rate"], variant=name, t=t)
            cells = [f"{one(found, ber=ber)['accuracy']['points']:.2f}" for ber in bers]
            rows.append([name, "mean" if t == ALL else str(t), *cells])
    return table(["variant", "t", *map(said, bers)], rows)


def _over_control(record: Row, names: Sequence[str], bers: Sequence[float | str]) -> str:
    rows = []
    for name in names:
        if name != "control":
            found = where(record["multi_rate"], variant=name, t=ALL)
            rows.append([name, *(points(one(found, ber=ber)["over_control"]) for ber in bers)])
    return table(["variant", *map(said, bers)], rows)


def _means(record: Row, rule: str, names: Sequence[str], bers: Sequence[float | str]) -> str:
    rows = []
    for name in names:
        found = where(record["gaps"], variant=name, rule=rule, share=ALL)
        for kind, whose in (("to_own", "own"), ("to_control", "the control's")):
            rows.append([name, whose, *(points(one(found, ber=ber)[kind]) for ber in bers)])
        if name != "control":
            rows.append(
                [name, "less the control's gap", *(points(one(found, ber=ber)["over_control"]) for ber in bers)]
            )
    return table(["variant", "against Multi-rate of", *map(said, bers)], rows)


def _cells(record: Row, rule: str, names: Sequence[str], bers: Sequence[float | str]) -> str:
    rows = []
    for name in names:
        for share in record["shares"]:
            found = where(record["gaps"], variant=name, rule=rule, share=share)
            bits = one(found, ber=ALL)["bandwidth_bits"]
            rows.append([name, f"{bits:,.0f}", *(signed(one(found, ber=ber)["to_control"]["points"]) for ber in bers)])
    return table(["variant", "bits", *map(said, bers)], rows)


def _headline(record: Row, name: str) -> tuple[Row, Row]:
    """Over the control, all BERs together: Multi-rate in the mean over t, and the margin rule over bandwidths."""
    fixed = one(record["multi_rate"], variant=name, ber=ALL, t=ALL)["over_control"]
    rule = one(record["gaps"], variant=name, rule=OWN_SYSTEM, ber=ALL, share=ALL)["over_control"]
    return fixed, rule


def _verdict(record: Row, name: str) -> str:
    fixed, rule = _headline(record, name)
    largest = max(record["bers"])
    there = one(record["gaps"], variant=name, rule=OWN_SYSTEM, ber=largest, share=ALL)["over_control"]
    return (
        f"`{name}`: Multi-rate {points(fixed)} ({verdict(fixed)}); margin rule {points(rule)} ({verdict(rule)}), "
        f"at BER {largest:g} alone {points(there)} ({verdict(there)})."
    )


def _winners(record: Row, names: Sequence[str]) -> str:
    """Trained variants whose margin rule is better than the control's, the best first."""
    others = [name for name in names if name not in ("control", "shipped")]
    better = [name for name in others if verdict(_headline(record, name)[1]) == "better"]
    if not better:
        return "No variant is better than the control with the margin rule over all BERs together."
    better.sort(key=lambda name: -float(_headline(record, name)[1]["points"]))
    return f"Better than the control with the margin rule over all BERs together, the best first: {', '.join(better)}."
