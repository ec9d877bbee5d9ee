# SPDX-License-Identifier: Apache-2.0
"""One error format, RFC 9457 problem+json, and one table of what goes wrong and with which status."""

import logging
from collections.abc import Mapping
from typing import ClassVar, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from service.wire import REQUEST_ID, Problem

MEDIA_TYPE: Final = "application/problem+json"
_INTERNAL: Final = "Internal error"
_UNFORESEEN: Final = "an unforeseen error; the node's log has it under this request id"
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_log = logging.getLogger("spikelink")


class Refusal(Exception):
    """A request that is refused. Subclasses are the catalogue; ``detail`` is meant for the caller."""

    status: ClassVar[int]
    title: ClassVar[str]

    def __init__(self, detail: str, *, retry_after_s: int | None = None, **members: object) -> None:
        super().__init__(detail)
        self.detail, self.members, self.retry_after_s = detail, members, retry_after_s
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}


class BadFrame(Refusal):
    status, title = 400, "The frame does not fit its header"


class NoRequest(Refusal):
    """What the parser says of bytes that are no HTTP at all."""

    status, title = 400, "The request cannot be read"


class Unreadable(Refusal):
    """What the framework says of a body that is no JSON or no form at all."""

    status, title = 400, "The body cannot be read"


class Unauthorized(Refusal):
    status, title = 401, "A valid bearer token is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers["WWW-Authenticate"] = "Bearer"


class Forbidden(Refusal):
    status, title = 403, "The request comes from another site"


class NotFound(Refusal):
    status, title = 404, "There is no such thing"


class TooSlow(Refusal):
    status, title = 408, "The request came too slowly"


class SessionConflict(Refusal):
    status, title = 409, "The frame does not fit the session"


class SessionGone(Refusal):
    status, title = 410, "The session is unknown or expired"


class TooLarge(Refusal):
    status, title = 413, "The body is too large"


class UnsupportedMedia(Refusal):
    status, title = 415, "The media type is not supported"


class Unprocessable(Refusal):
    status, title = 422, "The request cannot be processed"


class Busy(Refusal):
    status, title = 429, "The node is at its limit"


class HeadTooLarge(Refusal):
    status, title = 431, "The head of the request is too large"


class PeerFailed(Refusal):
    status, title = 502, "The next node failed"


class NotReady(Refusal):
    status, title = 503, "The node is not ready"


class PeerTimedOut(Refusal):
    status, title = 504, "The next node did not answer in time"


#: By status; of two with the same one the framework's, whose errors have nothing but a status.
CATALOGUE: Final[Mapping[int, type[Refusal]]] = {kind.status: kind for kind in Refusal.__subclasses__()}


def document(request: Request, status: int, title: str, detail: str, members: Mapping[str, object]) -> Problem:
    """A problem with the request's id."""
    request_id = request.scope.get("spikelink.request_id", request.headers.get(REQUEST_ID))
    return _document(request_id, status, title, detail, members)


def document_of(refusal: Refusal, request_id: str) -> Problem:
    """What there is to say where bytes never became a request."""
    return _document(request_id, refusal.status, refusal.title, refusal.detail, refusal.members)


def _document(request_id: str | None, status: int, title: str, detail: str, members: Mapping[str, object]) -> Problem:
    content = {
        "type": f"urn:spikelink:problem:{status}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        **members,
    }
    return Problem.model_validate(content)


def problem(
    request: Request, status: int, title: str, detail: str, headers: Mapping[str, str], members: Mapping[str, object]
) -> JSONResponse:
    """A problem+json response."""
    content = document(request, status, title, detail, members).model_dump()
    return JSONResponse(content, status, dict(headers), media_type=MEDIA_TYPE)


def problem_event(request: Request, error: Exception) -> Problem:
    """What a response would have said whose status line has long been sent. Retry-After becomes a member."""
    if isinstance(error, Refusal):
        wait = {} if error.retry_after_s is None else {"retry_after_s": error.retry_after_s}
        return document(request, error.status, error.title, error.detail, {**error.members, **wait})
    _log.exception("unforeseen error", exc_info=error)
    return document(request, 500, _INTERNAL, _UNFORESEEN, {})


def install_errors(app: FastAPI) -> None:
    """Answer every error as problem+json, the framework's own included."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return problem(request, error.status, error.title, error.detail, error.headers, error.members)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [{"where": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
        detail = "; ".join(f"{fault['where']}: {fault['message']}" for fault in faults)
        return problem(request, 422, Unprocessable.title, detail, {}, {"errors": faults})

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> JSONResponse:
        known = CATALOGUE.get(error.status_code)
        title = known.title if known else str(error.detail)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers |= _allowed(app, request)
        return problem(request, error.status_code, title, str(error.detail), headers, {})

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        # Nobody reads it; without it a caller that breaks off its upload would be an unforeseen error.
        detail = "the caller left before its body was whole"
        return problem(request, Unreadable.status, Unreadable.title, detail, {}, {})

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        _log.exception("unforeseen error", exc_info=error)
        return problem(request, 500, _INTERNAL, _UNFORESEEN, {}, {})


def _allowed(app: FastAPI, request: Request) -> dict[str, str]:
    """Allow with the methods of every route at this path: the framework names those of the first alone."""
    place = {"type": "http", "path": request.scope["path"], "root_path": request.scope.get("root_path", "")}
    found = [m for m in _METHODS if any(_is_met(route, {**place, "method": m}) for route in app.routes)]
    return {"Allow": ", ".join(found)} if found else {}


def _is_met(route: BaseRoute, scope: Scope) -> bool:
    return route.matches(scope)[0] is Match.FULL


#: For OpenAPI: what a route may answer besides success.
def documented(*kinds: type[Refusal]) -> dict[int | str, dict[str, object]]:
    """The ``responses`` of a route that may refuse in these ways."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {kind.status: {"description": kind.title, "content": {MEDIA_TYPE: {"schema": schema}}} for kind in kinds}
