# SPDX-License-Identifier: Apache-2.0
"""The dashboard node: the page, and the routes that it uses, all from one origin."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Request, Response
from fastapi.responses import StreamingResponse

from service.errors import (
    Busy,
    NotFound,
    NotReady,
    PeerFailed,
    PeerTimedOut,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unprocessable,
    Unreadable,
    UnsupportedMedia,
    documented,
)
from service.frames import binary_body
from service.guard import Access, Limited, only_for_admin
from service.hop import Deadline
from service.limits import Allowance
from service.node_app import NodeState, base_info, build_app, refuse_while_draining
from service.nodes.dashboard import sweeps
from service.nodes.dashboard.desk import SweepDesk
from service.nodes.dashboard.feed import Feed
from service.nodes.dashboard.files import PageFiles
from service.nodes.dashboard.passing import PassedOn, call_of
from service.nodes.dashboard.peers import Peers, node_report
from service.nodes.dashboard.reference import read_reference
from service.nodes.dashboard.watch import Watch
from service.settings import DashboardSettings
from service.stores import StoreUnavailableError
from service.wire import (
    EVENT_STREAM,
    IMAGE_TYPES,
    LinkChange,
    LinkCounters,
    NodeInfo,
    NodeReport,
    Readiness,
    ReferenceResults,
)
from service.wire.deadlines import LONGER_S

_DESCRIPTION: Final = "The page of the testbed, and what it needs of edge, channel and cloud from one origin."
_LINK_PATIENCE_S: Final = 10.0

LinkName = Annotated[str, Path(pattern=r"^[a-z]{1,20}$")]


@dataclass(frozen=True)
class Dashboard:
    """What a request needs of the node."""

    settings: DashboardSettings
    state: NodeState
    peers: Peers
    feed: Feed
    watch: Watch
    reference: tuple[ReferenceResults, ...]


def create_dashboard(settings: DashboardSettings, desk: SweepDesk) -> FastAPI:
    """The dashboard's application. Imports neither models nor torch."""

    async def checks() -> Readiness:
        # That another node is down, or the store, is for the page to show, and no reason to withhold the page.
        return Readiness(ready=True, checks={"page": "ok", "sweeps": await _store_state(desk)})

    async def own() -> NodeReport:
        return node_report("dashboard", f"http://{settings.host}:{settings.port}", await checks(), state.info())

    state = NodeState("dashboard", lambda: NodeInfo.model_validate(base_info("dashboard")), checks)
    peers, feed = Peers(settings), Feed()
    node = Dashboard(settings, state, peers, feed, Watch(peers, feed, own, desk), read_reference())

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await peers.open()
        await desk.open()
        node.watch.start()
        yield
        await node.watch.stop()
        await desk.close()
        await peers.close()

    token, admin = settings.bearer(), settings.admin_bearer()
    app = build_app(
        state,
        description=_DESCRIPTION,
        # The files of the page need no token; what it asks for does.
        access=Access(tuple(value for value in (token, admin) if value) if token else (), "/v1/", _limited(settings)),
        max_body_bytes=settings.max_upload_bytes,
        lifespan=lifespan,
    )
    for router in (_looking(node), _doing(node), sweeps.looking(desk), sweeps.doing(desk, state, admin)):
        app.include_router(router)
    # Where no route is: a mount would take what the routes refuse, and answer for them.
    app.router.default = PageFiles()
    return app


async def _store_state(desk: SweepDesk) -> str:
    try:
        await desk.ping()
    except StoreUnavailableError as error:
        return str(error)
    return "ok"


def _limited(settings: DashboardSettings) -> Limited | None:
    allowed_per_min = settings.allowed_per_min()
    starting = re.compile("/v1/sweeps(/[^/]*/resume)?")
    return Limited(starting, Allowance(allowed_per_min, 60.0)) if allowed_per_min else None


def _looking(node: Dashboard) -> APIRouter:
    router = APIRouter(tags=["dashboard"])

    @router.get("/v1/nodes", summary="How each node is")
    async def nodes() -> list[NodeReport]:
        return await node.watch.nodes()

    @router.get("/v1/links", summary="The channel's links", responses=documented(PeerFailed, PeerTimedOut))
    async def links() -> list[LinkCounters]:
        return await node.peers.links()

    @router.get("/v1/reference", summary="Committed results")
    async def reference() -> tuple[ReferenceResults, ...]:
        return node.reference

    @router.get(
        "/v1/events",
        summary="Nodes, links and sweeps as they change",
        response_class=StreamingResponse,
        responses={200: {"content": {EVENT_STREAM: {}}}, **documented(Unprocessable, NotReady)},
    )
    async def events(last_event_id: Annotated[str | None, Header(max_length=64)] = None) -> StreamingResponse:
        refuse_while_draining(node.state)
        stream = node.feed.stream(last_event_id, lambda: node.state.draining)
        return StreamingResponse(stream, media_type=EVENT_STREAM, headers={"Cache-Control": "no-store"})

    return router


def _doing(node: Dashboard) -> APIRouter:
    router = APIRouter(tags=["passed on"])
    admins = [Depends(only_for_admin(node.settings.admin_bearer()))]
    refusals = documented(
        Unreadable, Unauthorized, NotFound, TooLarge, TooSlow, Unprocessable, PeerFailed, PeerTimedOut
    )

    @router.post(
        "/v1/classify",
        summary="Passed on to the edge",
        responses={
            200: {"description": "What the edge answers", "content": {"application/json": {}, EVENT_STREAM: {}}},
            **documented(TooLarge, TooSlow, UnsupportedMedia, Unprocessable, Busy, PeerFailed, NotReady, PeerTimedOut),
        },
        openapi_extra=binary_body(*IMAGE_TYPES),
    )
    async def classify(request: Request) -> Response:
        refuse_while_draining(node.state)
        call = call_of(request, await request.body())
        return PassedOn(node.peers.hops["edge"], call, node.settings.deadline_s + LONGER_S)

    @router.patch("/v1/links/{name}", summary="Passed on to the channel", responses=refusals, dependencies=admins)
    async def change_link(request: Request, name: LinkName, change: LinkChange) -> Response:
        return await _to_channel(node, request)

    @router.post("/v1/reset", summary="Passed on to the channel", responses=refusals, dependencies=admins)
    async def reset(request: Request) -> Response:
        return await _to_channel(node, request)

    return router


async def _to_channel(node: Dashboard, request: Request) -> Response:
    call = call_of(request, await request.body())
    reply = await node.peers.hops["channel"].ask(request.method, call, Deadline.after(_LINK_PATIENCE_S))
    await node.watch.links()
    return Response(reply.body, reply.status, reply.lasting_headers, media_type=reply.content_type)
