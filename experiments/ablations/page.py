# SPDX-License-Identifier: Apache-2.0
"""``docs/ablations.md`` from the JSON alone: tables generated, and what wins said as the figures say it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from experiments.ablations.results import records_in, require
from experiments.figures.page import table
from experiments.figures.results import Row, one, where
from experiments.figures.targets import bracket, signed

_TEMPLATE: Final = "page.md.jinja"
_ALL: Final = "all"
_MARGIN_RULE: Final = "snn-sc-margin-harq"
_RULES: Final = {_MARGIN_RULE: "margin rule", "largest-probability": "largest probability"}


def write_page(docs: Path) -> Path:
    """Raises ResultsMissingError where no ablation has been run."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, from our own JSON
    )
    codecs = records_in(docs, "codec")
    require(codecs, docs)
    path = docs / "ablations.md"
    path.write_text(environment.get_template(_TEMPLATE).render(codecs=[_codec(record) for record in codecs]))
    return path


def verdict(figure: Row) -> str:
    """What an interval says of a difference."""
    low, high = figure["interval"]
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def _points(figure: Row) -> str:
    return f"{signed(figure['points'])} {bracket(figure['interval'])}"


def _said(ber: float | str) -> str:
    return "all" if ber == _ALL else f"{ber:g}"


def _codec(record: Row) -> Mapping[str, object]:
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
            {"name": said, "means": _means(record, rule, names, bers), "cells": _cells(record, rule, names, bers)}
            for rule, said in _RULES.items()
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
            rows.append([name, "mean" if t == _ALL else str(t), *cells])
    return table(["variant", "t", *map(_said, bers)], rows)


def _over_control(record: Row, names: Sequence[str], bers: Sequence[float | str]) -> str:
    rows = []
    for name in names:
        if name != "control":
            found = where(record["multi_rate"], variant=name, t=_ALL)
            rows.append([name, *(_points(one(found, ber=ber)["over_control"]) for ber in bers)])
    return table(["variant", *map(_said, bers)], rows)


def _means(record: Row, rule: str, names: Sequence[str], bers: Sequence[float | str]) -> str:
    rows = []
    for name in names:
        found = where(record["gaps"], variant=name, rule=rule, share=_ALL)
        for kind, said in (("to_own", "own"), ("to_control", "the control's")):
            rows.append([name, said, *(_points(one(found, ber=ber)[kind]) for ber in bers)])
        if name != "control":
            rows.append(
                [name, "less the control's gap", *(_points(one(found, ber=ber)["over_control"]) for ber in bers)]
            )
    return table(["variant", "against Multi-rate of", *map(_said, bers)], rows)


def _cells(record: Row, rule: str, names: Sequence[str], bers: Sequence[float | str]) -> str:
    rows = []
    for name in names:
        for share in record["shares"]:
            found = where(record["gaps"], variant=name, rule=rule, share=share)
            bits = one(found, ber=_ALL)["bandwidth_bits"]
            rows.append([name, f"{bits:,.0f}", *(signed(one(found, ber=ber)["to_control"]["points"]) for ber in bers)])
    return table(["variant", "bits", *map(_said, bers)], rows)


def _headline(record: Row, name: str) -> tuple[Row, Row]:
    """Over the control, all BERs together: Multi-rate in the mean over t, and the margin rule over bandwidths."""
    fixed = one(record["multi_rate"], variant=name, ber=_ALL, t=_ALL)["over_control"]
    rule = one(record["gaps"], variant=name, rule=_MARGIN_RULE, ber=_ALL, share=_ALL)["over_control"]
    return fixed, rule


def _verdict(record: Row, name: str) -> str:
    fixed, rule = _headline(record, name)
    largest = max(record["bers"])
    there = one(record["gaps"], variant=name, rule=_MARGIN_RULE, ber=largest, share=_ALL)["over_control"]
    return (
        f"`{name}`: Multi-rate {_points(fixed)} ({verdict(fixed)}); margin rule {_points(rule)} ({verdict(rule)}), "
        f"at BER {largest:g} alone {_points(there)} ({verdict(there)})."
    )


def _winners(record: Row, names: Sequence[str]) -> str:
    """Trained variants whose margin rule is better than the control's, the best first."""
    others = [name for name in names if name not in ("control", "shipped")]
    better = [name for name in others if verdict(_headline(record, name)[1]) == "better"]
    if not better:
        return "No variant is better than the control with the margin rule over all BERs together."
    better.sort(key=lambda name: -float(_headline(record, name)[1]["points"]))
    return f"Better than the control with the margin rule over all BERs together, the best first: {', '.join(better)}."
