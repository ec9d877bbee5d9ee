# SPDX-License-Identifier: Apache-2.0
"""The ladder as a picture, for a page or a talk."""

import io
import re
from pathlib import Path
from typing import Final

from rich.console import Console

from cli.failures import CommandError
from cli.ladder import draw_answer, draw_ladder
from service.wire import Classification

_WIDTH: Final = 100
#: Rich names fonts on a server; a picture that is looked at should ask nobody for anything.
_WEB_FONTS: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def write_svg(path: Path, result: Classification, title: str) -> None:
    """Write what the terminal shows, 100 columns wide, as SVG. Raises CommandError where the file cannot be written."""
    console = Console(file=io.StringIO(), record=True, width=_WIDTH, highlight=False, force_terminal=True)
    draw_ladder(console, result)
    draw_answer(console, result)
    try:
        path.write_text(_WEB_FONTS.sub("", console.export_svg(title=title)), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
