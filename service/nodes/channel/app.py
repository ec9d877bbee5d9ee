# SPDX-License-Identifier: Apache-2.0
"""The channel node: frames from edge to cloud, and the links that corrupt them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Path, Request, Response

from service.errors import (
    BadFrame,
    Busy,
    NotFound,
    NotReady,
    PeerFailed,
    PeerTimedOut,
    SessionConflict,
    SessionGone,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unprocessable,
    Unreadable,
    UnsupportedMedia,
    documented,
)
from service.frames import DeadlineDep, RequestIdDep, body_of, frame_openapi, header
from service.guard import Access, only_for_admin
from service.hop import Hop
from service.node_app import NodeState, base_info, build_app, refuse_while_draining
from service.nodes.channel.links import LINKS, LinkTable
from service.nodes.channel.metrics import ChannelMetrics
from service.nodes.channel.relay import Relay, read_frame
from service.settings import ChannelSettings
from service.wire import (
    BER,
    BER_ADAPTER,
    DEADLINE_ADAPTER,
    DEADLINE_MS,
    INDEX_ADAPTER,
    SEED,
    SESSION_PATTERN,
    LinkChange,
    LinkCounters,
    NodeInfo,
    Readiness,
    RelayedAnswer,
    ResultAnswer,
    ResultRequest,
)

_DESCRIPTION: Final = "Bits in, bits out: a keyed binary symmetric channel between edge and cloud, changed at run time."
#: 256 blocks of an uncompressed resnet50 feature, the largest frame that exists.
_MAX_FRAME_BYTES: Final = 256 * 2 * 2048 * 4 * 4

_HEADERS: Final = (
    header(SEED, INDEX_ADAPTER.json_schema(), 7, required=True),
    header(BER, BER_ADAPTER.json_schema(), 0.1),
    header(DEADLINE_MS, DEADLINE_ADAPTER.json_schema(), 5000),
)

SessionId = Annotated[str, Path(pattern=SESSION_PATTERN)]


def create_channel(settings: ChannelSettings) -> FastAPI:
    """The channel's application. Imports neither models nor torch."""
    token, admin = settings.bearer(), settings.admin_bearer()
    hop = Hop(settings.upstream, token)
    links = LinkTable(
        ber=settings.ber,
        feedback_ber=settings.feedback_ber,
        latency_ms=settings.latency_ms,
        model=settings.channel_model,
    )

    async def checks() -> Readiness:
        cloud = await hop.healthy()
        return Readiness(ready=cloud == "ok", checks={"cloud": cloud})

    state = NodeState("channel", lambda: NodeInfo.model_validate(base_info("channel")), checks)
    relay = Relay(hop, links, ChannelMetrics(state.metrics))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await hop.open()
        yield
        await hop.close()

    # An admin token alone guards changes alone: the edge, which has no token then, must still get its frames across.
    access = Access(tuple(value for value in (token, admin) if value) if token else ())
    app = build_app(state, description=_DESCRIPTION, access=access, max_body_bytes=_MAX_FRAME_BYTES, lifespan=lifespan)
    _add_frame_routes(app, state, relay)
    _add_link_routes(app, links, admin)
    return app


def _add_frame_routes(app: FastAPI, state: NodeState, relay: Relay) -> None:
    # The cloud's among them, which are handed on as they are.
    refusals = documented(
        BadFrame,
        SessionConflict,
        SessionGone,
        TooLarge,
        TooSlow,
        Unprocessable,
        Busy,
        PeerFailed,
        NotReady,
        PeerTimedOut,
    )

    @app.post(
        "/v1/frames",
        tags=["frames"],
        summary="Send a frame over the forward link",
        response_model=RelayedAnswer,
        responses={**refusals, **documented(UnsupportedMedia)},
        openapi_extra=frame_openapi(*_HEADERS),
    )
    async def frames(request: Request, request_id: RequestIdDep, deadline: DeadlineDep) -> RelayedAnswer | Response:
        refuse_while_draining(state)
        payload = await body_of(request)
        return await relay.frame(read_frame(request.headers, payload, request_id, deadline))

    @app.post(
        "/v1/sessions/{session}/result",
        tags=["frames"],
        summary="Ask the cloud for the result with the bits at hand",
        response_model=ResultAnswer,
        responses=refusals,
    )
    async def result(
        session: SessionId, wanted: ResultRequest, request_id: RequestIdDep, deadline: DeadlineDep
    ) -> Response:
        return await relay.result(session, wanted.model_dump_json().encode(), request_id, deadline)


def _add_link_routes(app: FastAPI, links: LinkTable, admin: str | None) -> None:
    guarded = [Depends(only_for_admin(admin))]
    missing, refused = documented(NotFound, Unprocessable), documented(Unauthorized)

    @app.get("/v1/links", tags=["links"], summary="All links")
    async def list_links() -> list[LinkCounters]:
        return [links.describe(name) for name in LINKS]

    @app.get("/v1/links/{name}", tags=["links"], summary="One link", responses=missing)
    async def show_link(name: str) -> LinkCounters:
        return links.describe(name)

    @app.patch(
        "/v1/links/{name}",
        tags=["links"],
        summary="Change a link",
        responses={**missing, **refused, **documented(Unreadable, TooLarge, TooSlow)},
        dependencies=guarded,
    )
    async def change_link(name: str, change: LinkChange) -> LinkCounters:
        return links.change(name, change)

    @app.post(
        "/v1/links/{name}/reset",
        tags=["links"],
        summary="Undo changes",
        responses={**missing, **refused},
        dependencies=guarded,
    )
    async def reset_link(name: str) -> LinkCounters:
        return links.reset(name)

    @app.post(
        "/v1/reset",
        tags=["links"],
        summary="Undo the changes of all links",
        responses=refused,
        dependencies=guarded,
    )
    async def reset() -> list[LinkCounters]:
        return [links.reset(name) for name in LINKS]
