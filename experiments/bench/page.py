# SPDX-License-Identifier: Apache-2.0
"""``docs/performance.md`` from a report: tables and plots made here, prose in the template."""

from pathlib import Path

from experiments.bench.plots import draw
from experiments.bench.report import read_report
from experiments.bench.sheets import sheets
from experiments.figures.markdown import page_template, table


def write_page(report_file: Path, docs: Path) -> Path:
    """Write the page and, in ``images/`` beside it, the plots. Raises ReportError."""
    report = read_report(report_file)
    plots = draw(report, docs / "images")
    tables = {sheet.name: table(sheet.heading, sheet.rows) for sheet in sheets(report)}
    path = docs / "performance.md"
    page = page_template(Path(__file__).parent).render(
        report=report, tables=tables, plots=plots, source=report_file.name
    )
    path.write_text(page, encoding="utf-8")
    return path
