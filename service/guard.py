# SPDX-License-Identifier: Apache-2.0
"""What stands before every route: request ids, tokens, no requests from other sites, 413 as a problem."""

import re
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import MEDIA_TYPE, Forbidden, TooLarge, Unauthorized, problem
from service.wire import REQUEST_ID

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/v1/info"})
_TOO_LARGE: Final = "the body is larger than this route takes"
_REQUEST_ID: Final = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class RequestGuard:
    """Pure ASGI middleware: request id in and out, bearer token where one is configured, 413 as a problem.

    ``guarded`` is how the paths begin that need the token; OPEN_PATHS never do.
    """

    def __init__(self, app: ASGIApp, tokens: tuple[str, ...], guarded: str) -> None:
        self._app, self._tokens, self._guarded = app, tuple(token.encode() for token in tokens), guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        request_id = given if _REQUEST_ID.match(given) else uuid4().hex
        scope["spikelink.request_id"] = request_id

        replaced = False

        async def named(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered[REQUEST_ID] = request_id
                if message["status"] == TooLarge.status and answered["Content-Type"] != MEDIA_TYPE:
                    replaced = True  # the framework's body limit, which knows plain text alone
                    named_so = {REQUEST_ID: request_id}
                    refusal = problem(Request(scope), TooLarge.status, TooLarge.title, _TOO_LARGE, named_so, {})
                    await refusal(scope, receive, send)
            if not replaced:
                await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            refused = self._refused(scope, headers)
            await (self._app(scope, receive, named) if refused is None else refused(scope, receive, named))

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request goes no further, if it does not."""
        if scope["method"] not in _SAFE_METHODS and comes_from_another_site(headers):
            detail = "a web page of another site may not change anything here"
            return problem(Request(scope), Forbidden.status, Forbidden.title, detail, {}, {})
        is_open = scope["path"] in OPEN_PATHS or not scope["path"].startswith(self._guarded)
        if is_open or not self._tokens or bearer_of(headers, self._tokens) is not None:
            return None
        challenge = {"WWW-Authenticate": "Bearer"}
        return problem(Request(scope), 401, Unauthorized.title, "send 'Authorization: Bearer TOKEN'", challenge, {})


def comes_from_another_site(headers: Headers) -> bool:
    """Whether a browser says that a page of another origin sent this; programs other than browsers say neither."""
    origin = headers.get("Origin")
    foreign = origin is not None and _place(origin) != headers.get("Host")
    return foreign or headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def _place(origin: str) -> str | None:
    """Host and port of an origin; None where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:  # a bracket without its pair
        return None


def only_for_admin(admin: str | None) -> Callable[[Request], None]:
    """A dependency that raises Unauthorized where the request does not carry this token; None asks for nothing."""

    def check(request: Request) -> None:
        if admin is not None and bearer_of(request.headers, (admin.encode(),)) is None:
            raise Unauthorized("changing this needs the admin token")

    return check


def bearer_of(headers: Headers, tokens: tuple[bytes, ...]) -> int | None:
    """Which of the tokens the request carries, compared in constant time; None for none of them."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    given = value.strip().encode()
    matches = [secrets.compare_digest(given, token) for token in tokens]
    return matches.index(True) if any(matches) else None
