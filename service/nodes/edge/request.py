# SPDX-License-Identifier: Apache-2.0
"""What a caller may ask of the edge: the query parameters, checked against profile and system."""

import secrets
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from models.systems import DEFAULT_SYSTEM, SYSTEMS, StopRule, System, first_frame
from service.errors import Unprocessable
from service.models_on_node import ServedProfile, ServedProfiles
from service.wire import MAX_BATCH, Ber, FrameFormatError, Index, Theta, parse_blocks

#: What a caller reads who gives a threshold where none counts.
_DECIDES: Final = {StopRule.FIXED: "its rate is fixed", StopRule.CRC: "its CRC decides"}


class CommonQuery(BaseModel):
    """Query parameters of both classify routes. An unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    profile: str | None = Field(None, description="backbone, codec and SimNet; the node's default unless given")
    system: str = Field(
        DEFAULT_SYSTEM,
        description="what is sent, and what decides that it suffices",
        json_schema_extra={"enum": list(SYSTEMS)},
    )
    threshold: Theta | None = Field(None, description="theta, for systems that take one; the profile's unless given")
    t: Annotated[int, Field(ge=1, le=64)] | None = Field(None, description="time steps, for systems of fixed rate")
    ber: Ber | None = Field(None, description="replaces the forward link's BER for this request")
    seed: Index | None = Field(None, description="of the noise; drawn and reported unless given")


class ClassifyQuery(CommonQuery):
    """``POST /v1/classify``."""

    block: Index = Field(0, description="index of the noise: the same seed and block meet the same noise")


class BatchQuery(CommonQuery):
    """``POST /v1/classify/batch``."""

    blocks: Annotated[str, Field(max_length=6000)] | None = Field(
        None, description="a block index an image, ascending, as in 0-2,7; 0, 1, 2 ... unless given"
    )


@dataclass(frozen=True)
class Plan:
    """A request that can be carried out."""

    served: ServedProfile
    system: System
    theta: float | None
    fixed_t: int | None
    ber: float | None
    seed: int
    blocks: tuple[int, ...]


def plan_single(query: ClassifyQuery, profiles: ServedProfiles) -> Plan:
    """Raises Unprocessable where the parameters do not fit each other."""
    return _plan(query, profiles, (query.block,))


def plan_batch(query: BatchQuery, profiles: ServedProfiles, images: int) -> Plan:
    """Raises Unprocessable where the parameters do not fit each other or the number of images."""
    if not 1 <= images <= MAX_BATCH:
        raise Unprocessable(f"a batch has 1 to {MAX_BATCH} images in the field 'images', not {images}")
    try:
        blocks = tuple(range(images)) if query.blocks is None else parse_blocks(query.blocks)
    except FrameFormatError as error:
        raise Unprocessable(f"blocks: {error}") from None
    if len(blocks) != images:
        raise Unprocessable(f"blocks names {len(blocks)} indices for {images} images")
    return _plan(query, profiles, blocks)


def _plan(query: CommonQuery, profiles: ServedProfiles, blocks: tuple[int, ...]) -> Plan:
    served = profiles.get(query.profile)
    system = served.system(query.system)
    try:
        first_frame(system, served.profile.harq, query.t)
    except ValueError as error:
        raise Unprocessable(str(error)) from None
    if query.threshold is not None and not system.takes_threshold:
        raise Unprocessable(f"system {system.name} has no threshold; {_DECIDES[system.stop]}")
    if system.error_free and query.ber:
        raise Unprocessable(f"{system.name} is the error-free reference; it takes no BER above 0")
    theta = query.threshold
    if system.takes_threshold and theta is None:
        theta = served.manifest.thresholds[system.name]
    seed = secrets.randbits(53) if query.seed is None else query.seed
    return Plan(served, system, theta, query.t, query.ber, seed, blocks)
