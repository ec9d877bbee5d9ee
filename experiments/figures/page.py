# SPDX-License-Identifier: Apache-2.0
"""``docs/results.md`` from the JSON: tables generated, prose fixed, verdicts computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from experiments.figures.background import note
from experiments.figures.beyond import SCORE_RULES
from experiments.figures.claims import claims
from experiments.figures.markdown import page_template, table
from experiments.figures.results import Results, Row, load_results, one, profiles_in, where
from experiments.figures.style import look_of
from experiments.figures.summary import summary
from experiments.figures.targets import accuracy_with_interval, bracket, signed, targets

#: Of the passes, the one whose decoder takes most of the time.
_LDPC_PASS: Final = "snn-sc-ldpc"


def write_page(docs: Path) -> Path:
    """Write ``results.md`` about every profile in ``results/``. Raises ResultsMissingError."""
    sections = [_section(load_results(folder)) for folder in profiles_in(docs / "results")]
    path = docs / "results.md"
    path.write_text(page_template(Path(__file__).parent).render(sections=sections))
    return path


def _section(results: Results) -> dict[str, object]:
    """What the template shows of a profile."""
    return {
        "results": results,
        "note": note(results.profile),
        "passes": results.provenance["passes"],
        "hours": _hours(results.provenance["passes"]),
        "hours_without_ldpc": _hours([some for some in results.provenance["passes"] if some["name"] != _LDPC_PASS]),
        "summary": summary(results),
        "claims": claims(results),
        "targets": targets(results),
        "fig4": _fig4(results),
        "rates": _rates(results),
        "table1": [_gaps(results, name) for name in results.thresholds],
        "control": _control(results),
        "baselines": _baselines(results),
        "auc": _auc(results),
        "knowledge": _knowledge(results),
        "energy": _energy(results),
    }


def _hours(passes: Sequence[Row]) -> float:
    """Of one process."""
    seconds = sum(_cells(some) / float(some["images_per_second"]) for some in passes)
    return seconds / 3600


def _cells(some: Row) -> int:
    """Images at every BER and seed; without noise one seed stands for all."""
    return int(some["images"]) * sum(len(some["seeds"]) if ber > 0 else 1 for ber in some["bers"])


def _plain(bits: float) -> str:
    return f"{bits:,.0f}"


def _fig4(results: Results) -> str:
    rows = []
    for ber in results.shown_bers:
        for cell in where(results.similarity["cells"], ber=ber):
            figures = (cell["mean_estimate"], cell["mean_similarity"], cell["rmse"])
            shown = (accuracy_with_interval(cell), *(f"{figure:.3f}" for figure in figures))
            rows.append([f"{ber:g}", str(cell["t"]), *shown])
    return table(["BER", "t", "accuracy", "mean estimate", "mean true similarity", "RMSE"], rows)


def _rates(results: Results) -> str:
    """Accuracy with its interval over bandwidth, a row a system and setting, a column a BER."""
    rows = []
    for name, setting in dict.fromkeys((row["system"], row["setting"]) for row in results.rates["points"]):
        if name == "control":
            continue
        points = results.points(name, setting)
        theta = points[0].get("theta")
        said = setting if theta is None else f"{setting}, theta {theta:g}"
        cells = {row["ber"]: f"{accuracy_with_interval(row)} / {_plain(row['bandwidth_bits'])}" for row in points}
        rows.append([look_of(name).label, said, *(cells.get(ber, "") for ber in results.bers)])
    backbone = results.rates["backbone"]
    bypass = f"{accuracy_with_interval(backbone)} / {_plain(backbone['bandwidth_bits'])}"
    rows.append(["bypass", "feature as it is, no errors", *(bypass for _ in results.bers)])
    return table(["system", "setting", *(f"{ber:g}" for ber in results.bers)], rows)


def _control(results: Results) -> str:
    """The control policy, a row a system and threshold whose bandwidth it spends."""
    rows = []
    for name, setting in dict.fromkeys((row["for"], row["setting"]) for row in results.points("control")):
        points = where(results.points("control", setting), **{"for": name})
        cells = {row["ber"]: f"{row['accuracy']:.2f} % / {_plain(row['bandwidth_bits'])}" for row in points}
        found = where(results.gaps["cells"], system=name, setting=setting)
        gaps = {row["ber"]: f"{signed(row['gap_control'])} {bracket(row['interval_control'])}" for row in found}
        rows.append([look_of(name).label, setting, *(f"{cells[ber]}; {gaps[ber]}" for ber in results.bers)])
    return table(["as much as", "setting", *(f"{ber:g}" for ber in results.bers)], rows)


def _gaps(results: Results, name: str) -> dict[str, str]:
    """A rule's gaps, a row a setting."""
    cells = where(results.gaps["cells"], system=name)
    axis = cells[0]["axis"]
    rows = []
    for setting in dict.fromkeys(cell["setting"] for cell in cells):
        found = where(cells, setting=setting)
        said = f"{setting}, theta {results.thresholds[name][setting]:g}"
        rows.append([said, *(f"{signed(c[f'gap_{axis}'])} {bracket(c[f'interval_{axis}'])}" for c in found)])
    mean = one(results.gaps["means"], system=name)
    other = "true" if axis == "paper" else "paper"
    summary = ", ".join(
        f"{said} {signed(mean[f'gap_{kind}'])} {bracket(mean[f'interval_{kind}'])}"
        for kind, said in ((axis, f"on the {axis} axis"), (other, f"on the {other} one"), ("control", "to the control"))
    )
    heading = ["setting", *(f"{ber:g}" for ber in results.bers)]
    return {"name": look_of(name).label, "axis": axis, "table": table(heading, rows), "mean": summary}


def _knowledge(results: Results) -> str:
    rows = [
        [f"{cell['ber']:g}", str(cell["t"]), *(_or_dash(cell[f"spearman{kind}"], 2) for kind in ("", "_shuffled"))]
        for cell in results.similarity["cells"]
    ]
    return table(["BER", "t", "own K", "another's K"], rows)


def _or_dash(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _baselines(results: Results) -> str:
    rows = []
    for name, setting in dict.fromkeys((row["system"], row["setting"]) for row in results.gaps["baselines"]):
        found = where(results.gaps["baselines"], system=name, setting=setting)
        cells = {row["ber"]: f"{signed(row['gap_true'])} {bracket(row['interval_true'])}" for row in found}
        rows.append([look_of(name).label, setting, *(cells.get(ber, "") for ber in results.bers)])
    return table(["system", "setting", *(f"{ber:g}" for ber in results.bers)], rows)


def _auc(results: Results) -> str:
    scores = results.decisions["scores"]
    rows = []
    for name in dict.fromkeys(row["score"] for row in scores):
        found = where(scores, score=name)
        label = look_of(SCORE_RULES[name]).label
        cells = ["-" if row["auc_by_t"][0] is None else f"{row['auc_by_t'][0]:.3f} / {row['ece']:.3f}" for row in found]
        rows.append([label, *cells])
    return table(["score of", *(f"{ber:g}" for ber in results.bers)], rows)


def _energy(results: Results) -> str:
    rows = []
    for row in results.energy["sessions"]:
        if row["ber"] not in (results.bers[0], *results.shown_bers):
            continue
        figures = [
            f"{row[side]['energy_pj'] / 1e9:.3f} / {row[side]['mac'] / 1e6:.1f} / {row[side]['synop'] / 1e6:.2f}"
            for side in ("edge", "cloud")
        ]
        label = look_of(row["system"]).label
        rows.append([label, row["setting"], f"{row['ber']:g}", f"{row['rounds']:.2f}", *figures])
    return table(["system", "setting", "BER", "rounds", "edge", "cloud"], rows)
