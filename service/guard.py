# SPDX-License-Identifier: Apache-2.0
"""What stands before every route: request ids, tokens, limits, what browsers may, 413 as a problem, a log."""

import logging
import math
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import structlog
from prometheus_client import Counter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.browsers import add_default_headers, comes_from_another_site, is_sent_to_a_foreign_name
from service.errors import MEDIA_TYPE, Busy, Forbidden, NotReady, Refusal, TooLarge, Unauthorized, problem
from service.limits import Allowance
from service.wire import REQUEST_ID

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/v1/info"})
_TOO_LARGE: Final = "the body is larger than this route takes"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOGGED_PATH: Final = 200
_log = logging.getLogger("spikelink")


@dataclass(frozen=True)
class Limited:
    """The requests that an allowance is for: all but reading ones to paths that match as a whole."""

    paths: re.Pattern[str]
    allowance: Allowance


@dataclass(frozen=True)
class Access:
    """Who may come in. ``guarded`` is how the paths begin that need a token; OPEN_PATHS never do."""

    tokens: tuple[str, ...] = ()
    guarded: str = "/"
    limited: Limited | None = None


class RequestGuard:
    """Pure ASGI middleware around everything else. ``refused`` counts what went no further, by status."""

    def __init__(self, app: ASGIApp, access: Access, refused: Counter) -> None:
        self._app, self._access, self._refused = app, access, refused
        self._tokens = tuple(token.encode() for token in access.tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        scope["spikelink.request_id"] = request_id
        scope["spikelink.arrived_s"] = time.monotonic()  # deadlines count from here: bodies take time, too
        reply = _Reply(scope, receive, send)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                refusal = self._refusal(scope, headers)
                await (self._app if refusal is None else self._refuse(scope, refusal))(scope, receive, reply)
            finally:
                reply.log()

    def _refuse(self, scope: Scope, refusal: Refusal) -> Response:
        self._refused.labels(str(refusal.status)).inc()
        return problem(Request(scope), refusal.status, refusal.title, refusal.detail, refusal.headers, {})

    def _refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        """Why a request goes no further, if it does not."""
        if not self._tokens and is_sent_to_a_foreign_name(headers):
            return Forbidden("without a token this node answers to localhost and IP addresses, to no other name")
        if scope["method"] not in _SAFE_METHODS and comes_from_another_site(headers):
            return Forbidden("a web page of another site may not change anything here")
        bearer = bearer_of(headers, self._tokens)
        if self._tokens and bearer is None and _needs_token(scope["path"], self._access.guarded):
            return Unauthorized("send 'Authorization: Bearer TOKEN'")
        return self._beyond_its_allowance(scope, bearer)

    def _beyond_its_allowance(self, scope: Scope, bearer: int | None) -> Refusal | None:
        limited = self._access.limited
        if limited is None or scope["method"] in _SAFE_METHODS or not limited.paths.fullmatch(scope["path"]):
            return None
        # A token says better than an address who is calling; without one only this machine is.
        caller = f"address {_address(scope)}" if bearer is None else f"token {bearer}"
        wait_s = limited.allowance.take(caller)
        if not wait_s:
            return None
        allowance = limited.allowance
        detail = f"a caller may send {allowance.count:g} of these requests in {allowance.period_s:g} s"
        return Busy(detail, retry_after_s=math.ceil(wait_s))


class _Reply:
    """A reply on its way out: with its request id and what browsers are told; 413 as a problem."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._started_s = time.perf_counter()
        self._status: int | None = None
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers, self._status = MutableHeaders(scope=message), message["status"]
            headers[REQUEST_ID] = self._scope["spikelink.request_id"]
            add_default_headers(headers)
            # The framework's body limit, which knows plain text alone.
            self._replaced = self._status == TooLarge.status and headers.get("Content-Type") != MEDIA_TYPE
            if self._replaced:
                refusal = problem(Request(self._scope), TooLarge.status, TooLarge.title, _TOO_LARGE, {}, {})
                await refusal(self._scope, self._receive, _Reply(self._scope, self._receive, self._send))
        if not self._replaced:
            await self._send(message)

    def log(self) -> None:
        """One line a request; refusals and failures at level info. Queries and bodies stay out of it."""
        scope, status = self._scope, self._status
        routine = scope["path"] in OPEN_PATHS or (status is not None and status < 400)
        level = logging.DEBUG if routine else logging.INFO
        if _log.isEnabledFor(level):
            said = {"method": scope["method"], "path": scope["path"][:_LOGGED_PATH], "status": status}
            milliseconds = round(1000 * (time.perf_counter() - self._started_s), 1)
            _log.log(level, "request", extra={**said, "ms": milliseconds, "client": _address(scope)})


def may_answer(access: Access, method: str, path: str) -> list[type[Refusal]]:
    """For OpenAPI: how the guard, and the framework behind it, may refuse before a route has seen anything."""
    safe = method.upper() in _SAFE_METHODS
    limited = access.limited is not None and not safe and access.limited.paths.fullmatch(path)
    possible = {
        Unauthorized: bool(access.tokens) and _needs_token(path, access.guarded),
        Forbidden: not access.tokens or not safe,
        TooLarge: True,
        Busy: bool(limited),
        NotReady: path not in OPEN_PATHS,  # the others wait for nothing that a node which ends could interrupt
    }
    return [kind for kind, is_possible in possible.items() if is_possible]


def _needs_token(path: str, guarded: str) -> bool:
    return path not in OPEN_PATHS and path.startswith(guarded)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


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
