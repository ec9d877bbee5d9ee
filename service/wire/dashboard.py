# SPDX-License-Identifier: Apache-2.0
"""What the dashboard tells its page: how the nodes are, what crosses the links, the points of the curves."""

from typing import Literal

from pydantic import Field

from service.wire.base import Ber, Wire
from service.wire.nodes import LinkCounters, NodeInfo, Readiness

HEALTH = Literal["ready", "not ready", "down"]


class NodeReport(Wire):
    """One node as the dashboard sees it."""

    role: str
    url: str
    health: HEALTH
    failure: str | None = Field(None, description="in words, why it is not ready or down")
    readiness: Readiness | None = None
    info: NodeInfo | None = None


class LinkReport(LinkCounters):
    """A link, and what crossed it lately."""

    bits_per_s: float = Field(0.0, description="payload bits a second since the last look, about a second ago")
    observed_bits: int = Field(0, description="bits since these settings were first seen")
    observed_flipped_bits: int = Field(0, description="of those, inverted")


class Point(Wire):
    """One measured point of a curve. Percentages of accuracy, bits an image, 95 % intervals."""

    series: str = Field(description="which points one line joins")
    system: str
    theta: float | None = Field(None, description="the threshold; null for systems without one")
    t: int | None = Field(None, description="time steps, for systems of fixed rate")
    ber: Ber
    images: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    bandwidth_bits: float
    bandwidth_low: float | None = None
    bandwidth_high: float | None = None


def series_name(system: str, theta: float | None, t: int | None) -> str:
    """Which points belong to one line: a system at one setting."""
    if t is not None:
        return f"{system}, t {t}"
    return system if theta is None else f"{system}, theta {theta:g}"


class ReferenceResults(Wire):
    """A committed evaluation of one profile on the test images."""

    name: str
    profile: str
    weights_sha256: str
    version: str = Field(description="SpikeLink's that measured it")
    split: str
    images: int
    seed: int
    backbone_accuracy: float = Field(description="in %, without a link")
    points: tuple[Point, ...]
