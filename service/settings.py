# SPDX-License-Identifier: Apache-2.0
"""Every knob of the nodes, read from ``SPIKELINK_*`` variables by ``load_settings`` and nowhere else.

A name unknown to every role is an error that names the nearest known one, because a mistyped variable that is
silently ignored costs a researcher an afternoon.
"""

import difflib
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from channel.transmission import CHANNELS, DEFAULT_CHANNEL
from service.wire.deadlines import DEADLINE_S

PREFIX: Final = "SPIKELINK_"

#: Read by the command line and the test suite, not by a node.
OTHER_NAMES: Final = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "DATA",
        "EDGE",
        "CHANNEL",
        "CLOUD",
        "LARGE_SWEEP",
        "REQUIRE_AUDIT",
        "REQUIRE_BROWSER",
        "REQUIRE_CONTAINERS",
        "REQUIRE_DATA",
        "RUNS",
        "SOAK_S",
        "SWEEP_STORE",
    )
)


#: What a caller may send to a node that others than its own machine can reach, unless its settings say otherwise.
_CLASSIFY_PER_S: Final = 50.0
_SWEEPS_PER_MIN: Final = 10.0

S = TypeVar("S", bound="NodeSettings")


class SettingsError(ValueError):
    """Settings that cannot be used; the message says which variable and why."""


class NodeSettings(BaseModel):
    """What every role has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to bind; any but a loopback address needs a token")
    port: int = Field(ge=0, le=65535, description="port to bind; 0 takes a free one")
    token: SecretStr | None = Field(None, description="bearer token that callers must send and that peers are sent")
    token_file: Path | None = Field(None, description="file that holds the token, instead of the token itself")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe level logged")
    receive_s: float = Field(60.0, gt=0, le=3600, description="time for a head, for a body, and to take a reply")
    grace_s: int = Field(20, ge=1, le=600, description="time that accepted requests get to end after SIGTERM")

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not _is_loopback(self.host) and not self.bearer():
            raise ValueError(f"a node that binds {self.host} needs SPIKELINK_TOKEN or SPIKELINK_TOKEN_FILE")
        return self

    def is_private(self) -> bool:
        """Whether nobody but this machine reaches the node."""
        return _is_loopback(self.host)

    def bearer(self) -> str | None:
        """The token, from either place. Raises ValueError where the file cannot be read or is empty."""
        return _secret(self.token, self.token_file)


class ComputeSettings(NodeSettings):
    """What the roles that run networks have."""

    weights: Path | None = Field(None, description="folder of the weights; the project's own unless given")
    device: Literal["cpu", "cuda", "auto"] = Field("auto", description="where networks run")
    bf16: bool = Field(False, description="bfloat16 autocast; membranes stay float32")
    tile: int | None = Field(
        None,
        ge=1,
        le=256,
        description="batches are padded to its multiple, the profile's own unless given; 1: no padding",
    )
    torch_threads: int = Field(0, ge=0, le=256, description="CPU threads of PyTorch; 0 takes a power of two")
    max_waiting: int = Field(256, ge=1, le=100_000, description="computations under way before new work gets a 429")
    stack_rows: int = Field(64, ge=1, le=1024, description="images of several sessions that share a pass")
    stack_delay_ms: float = Field(0.0, ge=0, le=1000, description="how long a pass waits for others to share it")


class LinkAdminSettings(NodeSettings):
    """What the roles have that decide who may change the links."""

    admin_token: SecretStr | None = Field(None, description="bearer token for changing the links")
    admin_token_file: Path | None = Field(None, description="file that holds the admin token")

    def admin_bearer(self) -> str | None:
        """The admin token, from either place."""
        return _secret(self.admin_token, self.admin_token_file)


class EdgeSettings(ComputeSettings):
    """The edge node."""

    port: int = Field(8001, ge=0, le=65535, description="port to bind; 0 takes a free one")
    upstream: str = Field("http://127.0.0.1:8002", description="URL of the channel node")
    max_upload_bytes: int = Field(16 * 2**20, ge=1024, description="largest image that is accepted")
    max_batch_bytes: int = Field(64 * 2**20, ge=1024, description="largest body of a batch")
    max_in_flight: int = Field(1024, ge=1, le=100_000, description="requests under way before a new one gets a 429")
    deadline_s: float = Field(
        DEADLINE_S, gt=0, le=3600, description="time for one classification, body and hops included"
    )
    feature_cache_mib: int = Field(64, ge=0, description="memory a profile for features of images seen before")
    classify_per_s: float | None = Field(
        None, ge=0, le=1e6, allow_inf_nan=False, description="requests to classify that a caller may send; 0: any"
    )

    def allowed_per_s(self) -> float:
        """What a caller may send; 0 for no limit, which is the default on loopback."""
        default = 0.0 if self.is_private() else _CLASSIFY_PER_S
        return default if self.classify_per_s is None else self.classify_per_s


class ChannelSettings(LinkAdminSettings):
    """The channel node. The links' values are those at the start; they change at run time."""

    port: int = Field(8002, ge=0, le=65535, description="port to bind; 0 takes a free one")
    upstream: str = Field("http://127.0.0.1:8003", description="URL of the cloud node")
    channel_model: str = Field(DEFAULT_CHANNEL, description=f"how the forward link's flips lie: {', '.join(CHANNELS)}")
    ber: float = Field(0.0, ge=0, le=0.5, description="crossover probability of the forward link")
    feedback_ber: float = Field(0.0, ge=0, le=0.5, description="probability that an ACK or NACK arrives inverted")
    latency_ms: float = Field(0.0, ge=0, le=60_000, description="added to each frame on the forward link")

    @field_validator("channel_model")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in CHANNELS:
            raise ValueError(f"there is no channel model {name!r}; there are {', '.join(CHANNELS)}")
        return name


class CloudSettings(ComputeSettings):
    """The cloud node."""

    port: int = Field(8003, ge=0, le=65535, description="port to bind; 0 takes a free one")
    store: str | None = Field(None, description="sqlite:///PATH, redis://HOST:PORT/DB or memory://")
    session_ttl_s: float = Field(300.0, gt=0, le=86_400, description="a session's time to live after its last frame")
    max_sessions: int = Field(20_000, ge=1, description="sessions in the store before a new one is answered 429")
    cache_mib: int = Field(1024, ge=0, description="memory for reconstructed state; it can always be rebuilt")

    def store_url(self) -> str:
        """The store that is used: unless one is named, a file in the user's own state folder."""
        return self.store or f"sqlite://{Path.home() / '.local' / 'state' / 'spikelink' / 'sessions.sqlite3'}"

    @field_validator("store")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite:///", "redis://", "rediss://", "memory://")):
            raise ValueError("a store is sqlite:///PATH, redis://HOST:PORT/DB or memory://")
        return value


class DashboardSettings(LinkAdminSettings):
    """The dashboard node. Its token goes to the other nodes too, and its admin token to the channel."""

    port: int = Field(8000, ge=0, le=65535, description="port to bind; 0 takes a free one")
    edge: str = Field("http://127.0.0.1:8001", description="URL of the edge node")
    channel: str = Field("http://127.0.0.1:8002", description="URL of the channel node")
    cloud: str = Field("http://127.0.0.1:8003", description="URL of the cloud node")
    max_upload_bytes: int = Field(16 * 2**20, ge=1024, description="largest image that is accepted")
    deadline_s: float = Field(
        DEADLINE_S, gt=0, le=3600, description="the edge's; its answer is waited for a little longer"
    )
    sweep_store: str | None = Field(None, description="sqlite:///PATH or redis://HOST:PORT/DB")
    data: Path = Field(Path("data/cifar-100-binary"), description="CIFAR-100: its folder, or an archive")
    weights: Path | None = Field(None, description="folder of the weights, the edge's; the project's own unless given")
    sweeps_per_min: float | None = Field(
        None, ge=0, le=1e6, allow_inf_nan=False, description="sweeps that a caller may start or resume; 0: any"
    )

    def allowed_per_min(self) -> float:
        """What a caller may start; 0 for no limit, which is the default on loopback."""
        default = 0.0 if self.is_private() else _SWEEPS_PER_MIN
        return default if self.sweeps_per_min is None else self.sweeps_per_min

    @field_validator("sweep_store")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite:///", "redis://", "rediss://")):
            raise ValueError("a store of sweeps is sqlite:///PATH or redis://HOST:PORT/DB")
        return value


ROLES: Final[Mapping[str, type[NodeSettings]]] = {
    "edge": EdgeSettings,
    "channel": ChannelSettings,
    "cloud": CloudSettings,
    "dashboard": DashboardSettings,
}


def known_names() -> frozenset[str]:
    """Every variable that some role or the command line reads."""
    fields = {name for settings in ROLES.values() for name in settings.model_fields}
    return frozenset(f"{PREFIX}{name.upper()}" for name in fields) | OTHER_NAMES


def check_names(environment: Mapping[str, str]) -> None:
    """Raises SettingsError for the first ``SPIKELINK_*`` variable that nobody reads."""
    known = known_names()
    for name in sorted(environment):
        if _is_ours(name) and name.upper() not in known:
            # Without the prefix, which would make every name look like every other.
            endings = [other.removeprefix(PREFIX) for other in sorted(known)]
            nearest = difflib.get_close_matches(name.upper().removeprefix(PREFIX), endings, n=1)
            hint = f"; did you mean {PREFIX}{nearest[0]}?" if nearest else ""
            raise SettingsError(f"unknown variable {name}{hint}")


def load_settings(kind: type[S], environment: Mapping[str, str]) -> S:
    """The settings of a role from these variables, whose names may be in lower case. Raises SettingsError."""
    check_names(environment)
    given = {name.upper().removeprefix(PREFIX).lower(): value for name, value in environment.items() if _is_ours(name)}
    try:
        return kind.model_validate({field: value for field, value in given.items() if field in kind.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{PREFIX}{str(first['loc'][0]).upper()}: " if first["loc"] else ""
        raise SettingsError(f"{name}{first['msg'].removeprefix('Value error, ')}") from None


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)


def _secret(value: SecretStr | None, path: Path | None) -> str | None:
    if value is not None:
        return _sendable(value.get_secret_value(), "a token")
    if path is None:
        return None
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise ValueError(f"the token file {path} cannot be read: {error.strerror}") from None
    return _sendable(text, f"the token file {path}")


def _sendable(token: str, where: str) -> str:
    """A token that a header can carry. Raises ValueError: an empty one would let in whoever names none."""
    if not token:
        raise ValueError(f"{where} is empty")
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise ValueError(f"{where} holds no token: one line of printable ASCII without blanks around it is needed")
    return token


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
