# SPDX-License-Identifier: Apache-2.0
"""The files of the page, and what a browser is told to allow them."""

import os
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE: Final = Path(__file__).with_name("page")

#: Nothing from elsewhere and nothing inline: what an image or a node says can never become a script.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # asked for again each time, answered 304: an upgrade shows at once
}


class PageFiles(StaticFiles):
    """The folder ``page`` with these headers."""

    def __init__(self) -> None:
        super().__init__(directory=PAGE, html=True)

    def get_path(self, scope: Scope) -> str:
        """The file's name, whose only spelling is its own: what is beside it is relative to it."""
        path, name = super().get_path(scope), scope["path"].removeprefix("/")
        if name and (path != name or path == os.curdir):
            raise HTTPException(404)
        return path

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file that is not there is not there for any method."""
        found = await super().get_response(path, {**scope, "method": "GET"})
        return found if scope["method"] in ("GET", "HEAD") else await super().get_response(path, scope)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response
