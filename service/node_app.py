# SPDX-License-Identifier: Apache-2.0
"""What every node has: health, readiness, information, metrics, its interface to read, and the guard before all."""

import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from starlette.types import ASGIApp

from service.errors import NotReady, documented, install_errors
from service.guard import Access, RequestGuard, may_answer
from service.interface_page import InterfacePage
from service.telemetry import Metrics
from service.wire import NodeInfo, Problem, Readiness

_LIBRARIES: Final = ("fastapi", "uvicorn", "numpy", "torch", "spikingjelly", "sionna-no-rt", "redis")


@dataclass
class NodeState:
    """What a running node says about itself. ``draining`` is set when the process is asked to end."""

    role: str
    info: Callable[[], NodeInfo]
    checks: Callable[[], Awaitable[Readiness]]
    metrics: Metrics = field(default_factory=Metrics)
    draining: bool = False

    def __post_init__(self) -> None:
        text = "Requests refused before any route saw them"
        self.refused = self.metrics.counter("refused_requests", text, "status")


class _NodeApp(FastAPI):
    """An application behind the guard, whose OpenAPI knows what the guard answers, and Problem, which is its form."""

    access: Access
    refused: Counter

    def build_middleware_stack(self) -> ASGIApp:
        """The guard lies around everything, because Starlette answers 413 and 500 outside of all middleware."""
        return RequestGuard(super().build_middleware_stack(), self.access, self.refused)

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                for status, response in documented(*may_answer(self.access, method, path)).items():
                    operation["responses"].setdefault(str(status), response)
        schema.setdefault("components", {}).setdefault("schemas", {}).setdefault("Problem", Problem.model_json_schema())
        return schema


def build_app(
    state: NodeState,
    *,
    description: str,
    access: Access,
    max_body_bytes: int,
    lifespan: Callable[[], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """An application with the routes that all roles share, open to those whom ``access`` lets in.

    FastAPI's own documentation pages are left out: they run scripts from elsewhere, which could do all that the
    node's own page may.
    """

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan():
            yield

    app = _NodeApp(
        title=f"SpikeLink {state.role}",
        description=description,
        version=project_version(),
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # they would point to whatever host the caller names
        max_body_size=max_body_bytes,
    )
    app.access = access
    app.refused = state.refused
    app.state.node = state
    install_errors(app)
    _add_shared_routes(app, state)
    return app


def _add_shared_routes(app: FastAPI, state: NodeState) -> None:
    @app.get("/healthz", tags=["node"], summary="Is the process alive?")
    async def health() -> dict[str, str]:
        return {"status": "ok", "role": state.role}

    @app.get(
        "/readyz",
        tags=["node"],
        summary="Can it serve?",
        response_model=Readiness,
        responses={503: {"model": Readiness}},
    )
    async def ready() -> JSONResponse:
        readiness = await state.checks()
        if state.draining:
            readiness = readiness.model_copy(
                update={"ready": False, "checks": {**readiness.checks, "node": "draining"}}
            )
        return JSONResponse(readiness.model_dump(), 200 if readiness.ready else 503)

    @app.get("/v1/info", tags=["node"], summary="Profiles, weights, device, versions, store")
    async def info() -> NodeInfo:
        return state.info()

    @app.get("/docs", include_in_schema=False)
    async def interface() -> InterfacePage:
        return InterfacePage(app.openapi())

    @app.get("/metrics", tags=["node"], summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def refuse_while_draining(state: NodeState) -> None:
    """Raises NotReady once the process has been asked to end; what it had accepted goes on."""
    if state.draining:
        raise NotReady("the node is shutting down", retry_after_s=1)


def project_version() -> str:
    try:
        return version("spikelink")
    except PackageNotFoundError:
        return "unknown"


def base_info(role: str) -> dict[str, object]:
    """The part of ``/v1/info`` that all roles share."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"role": role, "version": project_version(), "pid": os.getpid(), "versions": versions}
