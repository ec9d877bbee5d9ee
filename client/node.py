# SPDX-License-Identifier: Apache-2.0
"""One node, as HTTP: requests out, typed answers in, and every failure as one of ``client.errors``."""

import ipaddress
import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
from pydantic import JsonValue, TypeAdapter, ValidationError

from client.connections import Connections
from client.errors import (
    NodeTimeoutError,
    NodeUnreachableError,
    NotAuthorizedError,
    RequestRefusedError,
    SpikeLinkError,
    UnexpectedReplyError,
    one_line,
)
from service.wire import (
    EVENT_STREAM,
    EVENTS,
    REQUEST_ID,
    Classification,
    NodeInfo,
    Problem,
    Readiness,
    RoundReport,
    Start,
)

T = TypeVar("T")
Query = dict[str, str]
#: What a stream yields: the terms, each round as it ends, the result.
Progress = Start | RoundReport | Classification
Parts = list[tuple[str, tuple[str, bytes, str]]]

_log = logging.getLogger("spikelink.client")
_CONNECT_S: Final = 5.0
_READINESS: Final = TypeAdapter(Readiness)
_INFO: Final = TypeAdapter(NodeInfo)
_HEALTH: Final[TypeAdapter[dict[str, JsonValue]]] = TypeAdapter(dict[str, JsonValue])


class Node:
    """A connection to one node. Safe to share between threads; close it, or use it as a context manager."""

    def __init__(
        self,
        base_url: str,
        *,
        role: str = "node",
        token: str | None = None,
        timeout_s: float = 60.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = _checked(base_url)
        if token and not (token.isascii() and token.isprintable() and token == token.strip()):
            raise SpikeLinkError(f"the token for the {role} is none: one line of printable ASCII is needed")
        self.role, self.timeout_s = role, timeout_s
        self._connections = Connections()
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            transport=transport,
            event_hooks={"request": [_name, self._watch]},
            # A proxy named in the environment leads out of this machine, never to a node on loopback.
            trust_env=not is_loopback(self.url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a request under way on another thread ends at once, with NodeUnreachableError."""
        self._connections.shut_down()
        self._http.close()

    def _watch(self, request: httpx2.Request) -> None:
        request.extensions["trace"] = self._connections.trace

    def health(self) -> dict[str, JsonValue]:
        """``GET /healthz``: whether the process is alive."""
        return self.request("GET", "/healthz", _HEALTH)

    def ready(self) -> Readiness:
        """``GET /readyz``. A node that cannot serve yet is an answer here, not an error."""
        return self.request("GET", "/readyz", _READINESS, also=(503,))

    def info(self) -> NodeInfo:
        """``GET /v1/info``: profiles, weights, device, versions, store."""
        return self.request("GET", "/v1/info", _INFO)

    def metrics(self) -> str:
        """``GET /metrics``: what the node has counted since it started, in Prometheus' text format."""
        return self._response(self._http.build_request("GET", "/metrics")).text

    def request(
        self, method: str, path: str, kind: TypeAdapter[T], *, json: JsonValue = None, also: tuple[int, ...] = ()
    ) -> T:
        """Send JSON or nothing; read the answer as ``kind``, also where its status is one of ``also``."""
        return self._answer(self._http.build_request(method, path, json=json), kind, also)

    def post_image(self, path: str, kind: TypeAdapter[T], query: Query, content: bytes, media_type: str) -> T:
        """Send one image as the body."""
        headers = {"Content-Type": media_type}
        return self._answer(
            self._http.build_request("POST", path, params=query, content=content, headers=headers), kind
        )

    def post_frame(self, path: str, kind: TypeAdapter[T], content: bytes, headers: Mapping[str, str]) -> T:
        """Send packed bits, with what they are in headers."""
        return self._answer(self._http.build_request("POST", path, content=content, headers=dict(headers)), kind)

    def stream_image(self, path: str, query: Query, content: bytes, media_type: str) -> Generator[Progress, None, None]:
        """Send one image as the body; its events as they come, the result last. Closing it gives the work up."""
        headers = {"Content-Type": media_type, "Accept": EVENT_STREAM}
        request = self._http.build_request("POST", path, params=query, content=content, headers=headers)
        with self._failures():
            response = self._http.send(request, stream=True)
        try:
            if response.status_code != 200:
                with self._failures():
                    response.read()
                raise self._refusal(response)
            yield from self._events(response)
        finally:
            response.close()

    def _events(self, response: httpx2.Response) -> Iterator[Progress]:
        if response.headers.get("Content-Type", "").partition(";")[0] != EVENT_STREAM:
            raise self._foreign("it does not answer with events")
        events, event = iter(httpx2.EventSource(response)), None
        while not isinstance(event, Classification):
            with self._failures():
                sent = next(events, None)
            if sent is None:
                raise self._broken_off()
            event = self._event(sent)
            yield event

    def _event(self, sent: httpx2.ServerSentEvent) -> Progress:
        try:
            event = EVENTS[sent.event].model_validate_json(sent.data)
        except (KeyError, ValidationError):
            raise self._foreign(f"its event {one_line(sent.event)!r} has another form") from None
        if isinstance(event, Problem):
            raise self._refused(event.status, event, _wait_s(event))
        return event

    def post_parts(self, path: str, kind: TypeAdapter[T], query: Query, parts: Parts) -> T:
        """Send files as multipart/form-data."""
        return self._answer(self._http.build_request("POST", path, params=query, files=parts), kind)

    def _response(self, request: httpx2.Request, also: tuple[int, ...] = ()) -> httpx2.Response:
        with self._failures():
            response = self._http.send(request)
        if response.status_code != 200 and not (response.status_code in also and not _is_problem(response)):
            raise self._refusal(response)
        return response

    def _answer(self, request: httpx2.Request, kind: TypeAdapter[T], also: tuple[int, ...] = ()) -> T:
        response = self._response(request, also)
        try:
            return kind.validate_json(response.content)
        except ValidationError:
            raise self._foreign(f"its answer to {request.method} {request.url.path} has another form") from None

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Whatever the transport fails with, as one of ``client.errors``."""
        try:
            yield
        except httpx2.ConnectTimeout:
            raise NodeUnreachableError(f"{self} does not accept connections: is it running there?") from None
        except httpx2.TimeoutException:
            raise NodeTimeoutError(
                f"{self} did not answer within {self.timeout_s:g} s: allow it more time, or look at its log"
            ) from None
        except httpx2.ConnectError:
            raise NodeUnreachableError(f"nothing answers as the {self}: start it, or give its URL") from None
        except (httpx2.RemoteProtocolError, httpx2.NetworkError):
            raise self._broken_off() from None
        except httpx2.HTTPError as error:
            raise NodeUnreachableError(f"{self} cannot be asked: {one_line(str(error))}") from None

    def _broken_off(self) -> NodeUnreachableError:
        """For a connection that ends before the answer does."""
        if self._connections.shut:
            return NodeUnreachableError(f"the connection to {self} was closed here before the answer came")
        return NodeUnreachableError(f"{self} broke the connection off: has it stopped? Look at its log")

    def _refusal(self, response: httpx2.Response) -> SpikeLinkError:
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            return self._foreign(f"it answers {response.status_code} without a problem document")
        return self._refused(response.status_code, problem, _seconds(response.headers.get("Retry-After")))

    def _refused(self, status: int, problem: Problem, wait_s: float | None) -> RequestRefusedError:
        # What the nodes could not do stands in their logs under the request's id.
        name = f", request {one_line(problem.request_id)}" if status >= 500 and problem.request_id else ""
        message = f"{self} refuses: {one_line(problem.detail or problem.title)} (HTTP {status}{name})"
        if wait_s is not None:
            message += f"; try again in {wait_s:g} s"
        kind = NotAuthorizedError if status in (401, 403) else RequestRefusedError
        return kind(message, problem, wait_s)

    def _foreign(self, what: str) -> UnexpectedReplyError:
        return UnexpectedReplyError(f"{self} is no SpikeLink {self.role} of this version: {what}")

    def __str__(self) -> str:
        return f"{self.role} at {self.url}"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError as error:
        raise SpikeLinkError(f"{url!r} is no URL of a node: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SpikeLinkError(f"{url!r} is no URL of a node: write it like http://127.0.0.1:8001")
    return url.rstrip("/")


def _name(request: httpx2.Request) -> None:
    """Give a request the id under which every node logs it."""
    request.headers.setdefault(REQUEST_ID, uuid4().hex)
    _log.debug("%s %s as request %s", request.method, request.url.path, request.headers[REQUEST_ID])


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_problem(response: httpx2.Response) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/problem+json")


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _wait_s(problem: Problem) -> float | None:
    """What a response says with Retry-After; a stream's headers had gone before."""
    wait_s = (problem.model_extra or {}).get("retry_after_s")
    return float(wait_s) if isinstance(wait_s, int | float) else None
