# SPDX-License-Identifier: Apache-2.0
"""``docs/ablations.md`` from the JSON alone: tables generated, and what wins said as the figures say it."""

from pathlib import Path

from experiments.ablations.codec_section import codec_section
from experiments.ablations.decision_section import decision_section
from experiments.ablations.results import records_in, require
from experiments.figures.markdown import page_template


def write_page(docs: Path) -> Path:
    """Raises ResultsMissingError where no ablation has been run."""
    codecs, decisions = records_in(docs, "codec"), records_in(docs, "decision")
    require([*codecs, *decisions], docs)
    sections = {"codecs": map(codec_section, codecs), "decisions": map(decision_section, decisions)}
    path = docs / "ablations.md"
    path.write_text(page_template(Path(__file__).parent).render(sections))
    return path
