# SPDX-License-Identifier: Apache-2.0
"""What a run of the bench found, as JSON and back. docs/performance.md says how each figure comes about.

Loads neither torch nor networks: page and plots are made from the JSON alone.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class ReportError(Exception):
    """A file that is no report of this version; the message is one line."""


class Part(BaseModel):
    """Base of all that is written: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(Part):
    """Where and with what it was measured. ``load_before`` is the system's load (1 min) before anything was started."""

    processor: str
    cores: int = Field(description="that this process may use")
    device: str
    load_before: float
    versions: dict[str, str]
    command: str
    began_utc: str
    note: str | None = Field(None, description="what else was running, in the words of who measured")


class Setting(Part):
    """What was sent, and how edge and cloud compute."""

    profile: str
    weights_sha256: str
    system: str
    ber: float
    seed: int
    images: int
    source: str
    duration_s: float
    own_nodes: bool
    node_device: str
    dtype: str
    tile: int
    torch_threads: int
    store: str | None


class Latency(Part):
    """Of ``count`` values."""

    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class ReferenceRow(Part):
    """The in-process link: ``processes`` of ``threads`` PyTorch threads each, all with batches of the same size."""

    processes: int
    threads: int
    batch: int
    images_per_s: float


class Reference(Part):
    """The in-process link before the nodes' turn, and its fastest row once more after it."""

    rows: tuple[ReferenceRow, ...]
    again: ReferenceRow

    @property
    def best(self) -> ReferenceRow:
        """The fastest of all; every ratio is one to its images per second."""
        return max((*self.rows, self.again), key=lambda row: row.images_per_s)


class Load(Part):
    """One level of load on the edge.

    ``closed``: so many ``connections``, each with one request after the other. ``open``: requests at times decided
    beforehand, ``offered_per_s`` in the mean; latency counts from these times.
    """

    pattern: Literal["closed", "open"]
    connections: int
    batch: int
    requests: int
    failures: dict[str, int] = Field(description="by HTTP status, or timeout, unreachable, unexpected")
    images_per_s: float
    ratio: float | None = Field(description="to the in-process link's best")
    latency: Latency | None = Field(description="of the requests that succeeded")
    arrivals: Literal["poisson", "uniform"] | None = None
    offered_per_s: float | None = None
    share: float | None = Field(None, description="of the measured capacity that was offered")
    cpu_ms: dict[str, float] = Field(description="processor time an image, by process, where it can be read")
    compute_ms: dict[str, float] = Field(description="of one computation, waiting included, by node")
    queue_ms: dict[str, float] = Field(description="compute_ms less that of one image at a time")


class Single(Part):
    """One image at a time: ``load`` through the nodes alone, all else from images sent both ways in turns.

    A round's times are from the replies; ``networks`` is in process, round by round.
    """

    load: Load
    rounds_per_image: float
    total: Latency
    http: Latency
    edge: Latency
    channel: Latency
    cloud: Latency
    round: Latency
    networks: Latency
    beside: Latency = Field(description="of a round: what is not model computation")
    unpaired_images: int = Field(description="images that took another number of rounds in process")
    failures: dict[str, int] = Field(description="of images that were sent both ways")


class ChannelRow(Part):
    """Frames of so many blocks posted to the channel, before a cloud that answers at once."""

    blocks: int
    connections: int
    frames: int
    failures: dict[str, int]
    frames_per_s: float
    cpu_ms: float | None = Field(description="processor time of the channel's process a frame, where it can be read")
    latency: Latency | None
    channel: Latency | None = Field(description="channel_ms of the replies")


class SessionState(Part):
    """What the store holds of one image's longest session, after each round."""

    bytes_by_round: tuple[int, ...]


class SweepPair(Part):
    """The same sweep in process, with a process a core, and through the nodes."""

    images: int
    units: int
    link_s: float
    http_s: float
    equal: bool = Field(description="whether all figures agree")

    @property
    def ratio(self) -> float:
        """Speed through the nodes to speed in process."""
        return self.link_s / self.http_s


class Report(Part):
    """A run. What was not asked for is None or empty; ``skipped`` says why something asked for is missing."""

    format: Literal[1] = 1
    machine: Machine
    setting: Setting
    ready_s: dict[str, float] = Field(description="by node, from the start of its process until it was ready")
    reference: Reference | None = None
    single: Single | None = None
    concurrency: tuple[Load, ...] = ()
    open_loop: tuple[Load, ...] = ()
    batches: tuple[Load, ...] = ()
    channel: tuple[ChannelRow, ...] = ()
    session: SessionState | None = None
    sweep: SweepPair | None = None
    skipped: dict[str, str] = Field(default_factory=dict)


def read_report(path: Path) -> Report:
    """Raises ReportError."""
    try:
        return Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError:
        raise ReportError(f"{path} is no report of this version of the bench") from None
