# SPDX-License-Identifier: Apache-2.0
"""The edge node: classifies an image, or a batch of them, by sending spikes until the cloud has understood."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from fastapi import FastAPI, File, Query, Request, Response, UploadFile
from numpy.typing import NDArray

from models.remembering import RememberingTransmitter
from models.transmitter import Transmitter
from models.weights import load_edge
from service.compute import ComputeQueue
from service.errors import (
    Busy,
    NotReady,
    PeerFailed,
    PeerTimedOut,
    TooLarge,
    TooSlow,
    Unprocessable,
    Unreadable,
    UnsupportedMedia,
    documented,
)
from service.frames import RequestIdDep, arrived_s
from service.guard import Access, Limited
from service.hop import Deadline, Hop
from service.leaving import unless_left
from service.limits import Allowance
from service.models_on_node import ServedProfiles, model_info, served_profiles
from service.node_app import NodeState, build_app, refuse_while_draining
from service.nodes.edge import report
from service.nodes.edge.admission import CLASSIFYING, Admission
from service.nodes.edge.examples import BATCH_EXAMPLE, CLASSIFICATION_EXAMPLE
from service.nodes.edge.exchange import Exchange, noise_headers
from service.nodes.edge.harq import HarqSession, OnRound, unheard
from service.nodes.edge.metrics import EdgeMetrics
from service.nodes.edge.request import BatchQuery, ClassifyQuery, Plan, plan_batch, plan_single
from service.nodes.edge.stream import stream, wants_events
from service.nodes.edge.uploads import IMAGE_OPENAPI, Uploads
from service.settings import EdgeSettings
from service.wire import BatchClassification, Classification, Readiness

_DESCRIPTION: Final = "Classifies images: extracts a feature, sends it as spikes, answers each NACK with one step more."

#: A start that takes longer has failed; the first pass makes PyTorch's kernels ready.
_WARM_UP_S: Final = 120.0


@dataclass(frozen=True)
class EdgeNode:
    """What a request needs of the node."""

    settings: EdgeSettings
    profiles: ServedProfiles
    transmitters: Mapping[str, Transmitter]
    queue: ComputeQueue
    hop: Hop
    metrics: EdgeMetrics
    uploads: Uploads

    def deadline(self, request: Request) -> Deadline:
        """It has begun with the request's arrival."""
        return Deadline(arrived_s(request) + self.settings.deadline_s)

    def session(self, plan: Plan, deadline: Deadline, request_id: str) -> HarqSession:
        """A session that has not begun. Raises Busy where there is no room for it."""
        try:
            self.queue.check_room()
        except Busy as refusal:
            self.metrics.refused(refusal)
            raise
        exchange = Exchange(self.hop, request_id, deadline, noise_headers(plan.seed, plan.ber))
        return HarqSession(self.transmitters[plan.served.name], self.queue, exchange, plan)

    async def run(self, session: HarqSession, images_BCHW: NDArray[np.uint8], on_round: OnRound) -> float:
        """Run a session to its end -> its time in ms."""
        started = time.perf_counter()
        with self.metrics.request(session):
            await session.run(images_BCHW, on_round)
        return 1000 * (time.perf_counter() - started)


def create_edge(settings: EdgeSettings) -> FastAPI:
    """The edge's application. Raises WeightsError where no profile has weights."""
    profiles = served_profiles(settings)
    token = settings.bearer()
    hop = Hop(settings.upstream, token)

    async def checks() -> Readiness:
        channel = await hop.healthy()
        return Readiness(ready=channel == "ok", checks={"weights": "ok", "channel": channel})

    state = NodeState("edge", lambda: model_info("edge", profiles), checks)
    queue = ComputeQueue(settings, profiles.threads, state.metrics)
    transmitters = {
        name: RememberingTransmitter(
            load_edge(served.profile, served.manifest, profiles.folder),
            queue.stacked(served.inference),
            settings.feature_cache_mib * 2**20,
        )
        for name, served in profiles.by_name.items()
    }
    uploads = Uploads(settings.max_upload_bytes)
    node = EdgeNode(settings, profiles, transmitters, queue, hop, EdgeMetrics(state.metrics), uploads)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await hop.open()
        for transmitter in transmitters.values():
            deadline = Deadline.after(_WARM_UP_S)
            await queue.run(deadline, transmitter.begin, np.zeros((1, 3, 32, 32), dtype=np.uint8))
        yield
        uploads.close()
        queue.close()
        await hop.close()
        transmitters.clear()  # FastAPI's caches keep the routes as long as the process lives, and the routes keep these

    app = build_app(
        state,
        description=_DESCRIPTION,
        access=Access((token,) if token else (), limited=_limited(settings)),
        max_body_bytes=settings.max_upload_bytes,
        lifespan=lifespan,
    )
    app.add_middleware(Admission, state=state, queue=queue, metrics=node.metrics, max_in_flight=settings.max_in_flight)
    _add_routes(app, state, node)
    return app


def _limited(settings: EdgeSettings) -> Limited | None:
    allowed_per_s = settings.allowed_per_s()
    return Limited(CLASSIFYING, Allowance(allowed_per_s, 1.0)) if allowed_per_s else None


def _add_routes(app: FastAPI, state: NodeState, node: EdgeNode) -> None:
    refusals = documented(TooLarge, TooSlow, UnsupportedMedia, Unprocessable, Busy, PeerFailed, NotReady, PeerTimedOut)

    @app.post(
        "/v1/classify",
        tags=["classify"],
        summary="Classify one image",
        responses={200: CLASSIFICATION_EXAMPLE, **refusals},
        response_model=Classification,
        openapi_extra=IMAGE_OPENAPI,
    )
    async def classify(
        request: Request, query: Annotated[ClassifyQuery, Query()], request_id: RequestIdDep
    ) -> Classification | Response:
        """With `Accept: text/event-stream`, each round is sent as it ends, and the result after the last."""
        refuse_while_draining(state)
        plan, deadline = plan_single(query, node.profiles), node.deadline(request)
        images = await node.uploads.raw(request, deadline)
        session = node.session(plan, deadline, request_id)

        async def work(on_round: OnRound) -> Classification:
            return report.single(session, await node.run(session, images, on_round))

        if wants_events(request):
            return stream(request, report.start(session), work)
        return await unless_left(request.receive, work(unheard))

    @app.post(
        "/v1/classify/batch",
        tags=["classify"],
        summary="Classify up to 256 images in one session",
        responses={200: BATCH_EXAMPLE, **refusals, **documented(Unreadable)},
        max_body_size=node.settings.max_batch_bytes,
    )
    async def classify_batch(
        request: Request,
        images: Annotated[list[UploadFile], File(description="PNG, JPEG or WebP files")],
        query: Annotated[BatchQuery, Query()],
        request_id: RequestIdDep,
    ) -> BatchClassification:
        refuse_while_draining(state)
        plan, deadline = plan_batch(query, node.profiles, len(images)), node.deadline(request)
        pixels = await node.uploads.multipart(request, images, deadline)
        session = node.session(plan, deadline, request_id)
        return report.batch(session, await unless_left(request.receive, node.run(session, pixels, unheard)))
