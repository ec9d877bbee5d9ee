# SPDX-License-Identifier: Apache-2.0
"""The routes of the sweeps: look at all of the store, start one, stop it, go on with it, take its figures home."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final, Literal, TypeVar

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from pydantic import JsonValue

from service.errors import (
    Busy,
    NotFound,
    NotReady,
    PeerFailed,
    Refusal,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unprocessable,
    Unreadable,
    documented,
)
from service.guard import only_for_admin
from service.node_app import NodeState, refuse_while_draining
from service.nodes.dashboard.desk import SweepDesk
from service.stores import StoreUnavailableError
from service.wire import SweepRefusedError, SweepReport, SweepState

T = TypeVar("T")

#: A specification is some hundred bytes.
_MOST_BYTES: Final = 64 * 2**10
_AGAIN_S: Final = 1
_AT_FAULT: Final[dict[str, type[Refusal]]] = {"request": Unprocessable, "line": Busy, "nodes": PeerFailed}
_MEDIA_TYPES: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}

#: What docs/sweeps/thresholds.toml measures, of fewer images.
EXAMPLE: Final[dict[str, JsonValue]] = {
    "name": "thresholds",
    "bers": [0.0, 0.1, 0.2, 0.3],
    "seeds": [7],
    "images": {"data_set": "cifar100-test", "count": 240},
    "series": [
        {"system": "snn-sc-harq", "thresholds": [0.7, 0.774]},
        {"system": "snn-sc-margin-harq"},
        {"system": "multi-rate", "t": [4, 8]},
        {"system": "bypass", "bers": [0.0]},
    ],
}

SweepId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="as the list has it")]
Specification = Annotated[
    dict[str, JsonValue],
    Body(
        description="what a TOML file of `spikelink sweep run` holds, as JSON",
        openapi_examples={"thresholds": {"summary": "Six lines at four BERs", "value": EXAMPLE}},
    ),
]
Form = Annotated[Literal["csv", "json"], Query(alias="format")]


def looking(desk: SweepDesk) -> APIRouter:
    """What changes nothing."""
    router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], responses=documented(NotReady))
    missing = documented(NotFound, Unprocessable)

    @router.get("", summary="All sweeps of the store, the oldest first")
    async def sweeps() -> list[SweepState]:
        with _answering():
            return [report.without_points() for report in await desk.look()]

    @router.get("/{sweep}", summary="One sweep with its figures", responses=missing)
    async def sweep(sweep: SweepId) -> SweepReport:
        with _answering():
            return _known(sweep, await desk.find(sweep))

    @router.get(
        "/{sweep}/export",
        summary="Its figures, with what they were made of",
        response_class=Response,
        responses={200: {"content": {"text/csv": {}, "application/json": {}}}, **missing},
    )
    async def export(sweep: SweepId, form: Form = "csv") -> Response:
        with _answering():
            text = _known(sweep, await desk.export(sweep, form))
        headers = {"Content-Disposition": f'attachment; filename="sweep-{sweep[:12]}.{form}"'}
        return Response(text, media_type=_MEDIA_TYPES[form], headers=headers)

    return router


def doing(desk: SweepDesk, state: NodeState, admin: str | None) -> APIRouter:
    """What needs the admin token where one is set."""
    refusals = documented(Unreadable, Unauthorized, TooLarge, TooSlow, Unprocessable, Busy, PeerFailed, NotReady)
    router = APIRouter(
        prefix="/v1/sweeps", tags=["sweeps"], responses=refusals, dependencies=[Depends(only_for_admin(admin))]
    )

    @router.post("", status_code=202, summary="Run a sweep after those that run here", max_body_size=_MOST_BYTES)
    async def start(spec: Specification) -> SweepState:
        refuse_while_draining(state)
        with _answering():
            return (await desk.start(spec)).without_points()

    @router.post("/{sweep}/resume", status_code=202, summary="Go on with one", responses=documented(NotFound))
    async def resume(sweep: SweepId) -> SweepState:
        refuse_while_draining(state)
        with _answering():
            return _known(sweep, await desk.resume(sweep)).without_points()

    @router.post("/{sweep}/cancel", summary="Stop one, wherever it runs", responses=documented(NotFound))
    async def cancel(sweep: SweepId) -> SweepState:
        with _answering():
            return _known(sweep, await desk.cancel(sweep)).without_points()

    return router


def _known(sweep: str, found: T | None) -> T:
    if found is None:
        raise NotFound(f"there is no sweep {sweep[:12]} in the store")
    return found


@contextmanager
def _answering() -> Iterator[None]:
    """What a desk raises, as refusals."""
    try:
        yield
    except StoreUnavailableError as error:
        raise NotReady(f"the store of sweeps is away: {error}", retry_after_s=_AGAIN_S) from None
    except SweepRefusedError as error:
        raise _AT_FAULT[error.at_fault](str(error)) from None
