# SPDX-License-Identifier: Apache-2.0
"""What nodes tell of themselves and of the channel's links, and the one error format."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.wire.base import Ber, Wire

LatencyMs = Annotated[float, Field(ge=0.0, le=60_000.0, allow_inf_nan=False)]


class LinkState(Wire):
    """One direction of the channel and its impairments."""

    name: Literal["forward", "feedback"]
    revision: int = Field(description="counts the changes since the node started")
    model: str = Field("bsc", description="how its flips lie: independent (bsc), in bursts, or as a model of one's own")
    ber: Ber = 0.0
    latency_ms: LatencyMs = 0.0


class LinkCounters(LinkState):
    """A link with what has crossed it since the node started."""

    bits: int = 0
    flipped_bits: int = 0
    models: dict[str, str] = Field(default_factory=dict, description="that it can be set to, each in words")


class LinkChange(Wire):
    """What to change about a link; what is absent stays. Numbers are numbers: neither text nor true or false."""

    model_config = ConfigDict(strict=True)
    model: str | None = None
    ber: Ber | None = None
    latency_ms: LatencyMs | None = None


class ProfileInfo(Wire):
    """A profile as a node offers it."""

    name: str
    available: bool
    weights_sha256: str | None = None
    thresholds: dict[str, float] = Field(default_factory=dict)
    systems: tuple[str, ...] = Field((), description="what it serves: the systems whose weights and threshold it has")
    rates: dict[str, tuple[int, int]] = Field(
        default_factory=dict, description="least and most t of each system whose rate the caller chooses"
    )
    tile: int | None = Field(None, description="rows that its batches are padded to a multiple of; 1 is no padding")


class SystemInfo(Wire):
    """A system of the catalogue: what it is, and what a request for it brings."""

    summary: str
    takes_threshold: bool
    error_free: bool = Field(description="a BER above 0 is refused")


class NodeInfo(Wire):
    """The reply to ``GET /v1/info``."""

    role: str
    version: str
    pid: int
    profiles: tuple[ProfileInfo, ...] = ()
    systems: dict[str, SystemInfo] = Field(default_factory=dict)
    device: str | None = None
    dtype: str | None = None
    torch_threads: int | None = None
    store: str | None = None
    durable: bool | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class Readiness(Wire):
    """The reply to ``GET /readyz``: 200 where ``ready``, else 503."""

    ready: bool
    durable: bool | None = None
    checks: dict[str, str] = Field(description="by part: ok, or what is wrong")


class Problem(BaseModel):
    """RFC 9457 problem details, the one error format."""

    model_config = ConfigDict(extra="allow")
    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
