# SPDX-License-Identifier: Apache-2.0
"""The cloud node: takes frames from the channel, answers ACK or NACK, classifies."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import FastAPI, Path, Request
from fastapi.responses import JSONResponse

from models.receiver import Receiver
from models.weights import load_cloud
from service.compute import ComputeQueue
from service.errors import (
    BadFrame,
    Busy,
    NotReady,
    PeerTimedOut,
    SessionConflict,
    SessionGone,
    TooLarge,
    TooSlow,
    Unprocessable,
    UnsupportedMedia,
    documented,
    problem,
)
from service.frames import DeadlineDep, body_of, frame_openapi, header
from service.guard import Access
from service.hop import Deadline
from service.models_on_node import ServedProfiles, model_info, served_profiles
from service.node_app import NodeState, build_app, refuse_while_draining
from service.nodes.cloud.engine import Engine, StateCache
from service.nodes.cloud.metrics import CloudMetrics
from service.nodes.cloud.sessions import ArrivedFrame, Limits, Sessions
from service.settings import CloudSettings
from service.stores.catalog import open_store
from service.stores.protocol import StoreUnavailableError
from service.stores.resilient import ResilientStore
from service.wire import (
    BER_ADAPTER,
    CROSSOVER,
    DEADLINE_ADAPTER,
    DEADLINE_MS,
    MAX_BATCH,
    SESSION_PATTERN,
    FrameAnswer,
    FrameFormatError,
    FrameHead,
    Readiness,
    ResultAnswer,
    ResultRequest,
    read_number,
)

_DESCRIPTION: Final = "Reconstructs features from received spikes, judges them, keeps the sessions, classifies."

#: A start that takes longer has failed; the first pass makes PyTorch's kernels ready.
_WARM_UP_S: Final = 120.0

SessionId = Annotated[str, Path(pattern=SESSION_PATTERN)]


def create_cloud(settings: CloudSettings) -> FastAPI:
    """The cloud's application. Raises WeightsError where no profile has weights."""
    profiles = served_profiles(settings)
    store = ResilientStore(open_store(settings.store_url()), limit=settings.max_sessions)
    cache = StateCache(settings.cache_mib * 2**20, settings.session_ttl_s)
    state = NodeState(
        "cloud",
        lambda: model_info("cloud", profiles, store=store.name, durable=store.durable),
        lambda: _readiness(store),
    )
    queue = ComputeQueue(settings, profiles.threads, state.metrics)
    engines = {}
    for name, served in profiles.by_name.items():
        networks = load_cloud(served.profile, served.manifest, profiles.folder)
        engines[name] = Engine(served, Receiver(networks, queue.stacked(served.inference)), cache)
    limits = Limits(settings.max_sessions, settings.session_ttl_s)
    sessions = Sessions(engines, store, queue, limits)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await store.open()
        for engine in engines.values():
            await queue.run(Deadline.after(_WARM_UP_S), engine.warm_up)
        yield
        queue.close()
        await store.close()
        engines.clear()  # FastAPI's caches keep the routes as long as the process lives, and the routes keep these

    token = settings.bearer()
    app = build_app(
        state,
        description=_DESCRIPTION,
        access=Access((token,) if token else ()),
        max_body_bytes=MAX_BATCH * 2 * profiles.largest_feature,
        lifespan=lifespan,
    )
    _add_routes(app, state, profiles, sessions, CloudMetrics(state.metrics, cache))

    @app.exception_handler(StoreUnavailableError)
    async def store_unavailable(request: Request, error: StoreUnavailableError) -> JSONResponse:
        headers = {"Retry-After": "1"}
        return problem(request, NotReady.status, NotReady.title, f"no room for the session: {error}", headers, {})

    return app


def _add_routes(
    app: FastAPI, state: NodeState, profiles: ServedProfiles, sessions: Sessions, metrics: CloudMetrics
) -> None:
    refusals = documented(
        BadFrame, SessionConflict, SessionGone, TooLarge, TooSlow, Unprocessable, Busy, NotReady, PeerTimedOut
    )
    own = (
        header(CROSSOVER, BER_ADAPTER.json_schema(), 0.1, required=True),
        header(DEADLINE_MS, DEADLINE_ADAPTER.json_schema(), 5000),
    )

    @app.post(
        "/v1/frames",
        tags=["frames"],
        summary="Answer a frame",
        responses={**refusals, **documented(UnsupportedMedia)},
        openapi_extra=frame_openapi(*own),
    )
    async def frames(request: Request, deadline: DeadlineDep) -> FrameAnswer:
        refuse_while_draining(state)
        started = time.perf_counter()
        arrived = _read(request, await body_of(request))
        outcome = await sessions.answer(arrived, deadline)
        seconds = time.perf_counter() - started
        metrics.frame(arrived.payload, outcome, seconds)
        head = arrived.head
        return FrameAnswer(
            session=head.session,
            round=head.round,
            t=head.t,
            answers=outcome.answers,
            crossover=outcome.crossover,
            replayed=outcome.replayed,
            durable=outcome.durable,
            arithmetic=profiles.get(head.profile).inference.arithmetic,
            cloud_ms=1000 * seconds,
        )

    @app.post(
        "/v1/sessions/{session}/result",
        tags=["sessions"],
        summary="Classify with the bits at hand and close",
        responses=refusals,
    )
    async def result(session: SessionId, wanted: ResultRequest, deadline: DeadlineDep) -> ResultAnswer:
        started = time.perf_counter()
        outcome = await sessions.result(session, wanted.blocks, deadline)
        cloud_ms = 1000 * (time.perf_counter() - started)
        return ResultAnswer(session=session, results=outcome.results, durable=outcome.durable, cloud_ms=cloud_ms)


def _read(request: Request, payload: bytes) -> ArrivedFrame:
    try:
        head = FrameHead.from_headers(request.headers)
        crossover = read_number(request.headers, CROSSOVER, BER_ADAPTER)
    except FrameFormatError as error:
        raise BadFrame(str(error)) from None
    if crossover is None:
        raise BadFrame(f"header {CROSSOVER} is missing")
    return ArrivedFrame(head, float(crossover), payload)


async def _readiness(store: ResilientStore) -> Readiness:
    """Ready without its store too: sessions then stay in memory, and the caller is told."""
    await store.ping()
    answer = "ok" if store.durable else "sessions stay in memory"
    return Readiness(ready=True, durable=store.durable, checks={"weights": "ok", "store": answer})
