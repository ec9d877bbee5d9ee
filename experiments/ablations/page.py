# SPDX-License-Identifier: Apache-2.0
"""``docs/ablations.md`` from the JSON alone: tables generated, and what wins said as the figures say it."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from experiments.ablations.codec_section import codec_section
from experiments.ablations.decision_section import decision_section
from experiments.ablations.results import records_in, require

_TEMPLATE: Final = "page.md.jinja"


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
    codecs, decisions = records_in(docs, "codec"), records_in(docs, "decision")
    require([*codecs, *decisions], docs)
    sections = {"codecs": map(codec_section, codecs), "decisions": map(decision_section, decisions)}
    path = docs / "ablations.md"
    path.write_text(environment.get_template(_TEMPLATE).render(sections))
    return path
