# SPDX-License-Identifier: Apache-2.0
"""Base class and number ranges of everything that travels, and the names of the headers."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_BATCH: Final = 256
MAX_INDEX: Final = 2**53 - 1

SESSION_PATTERN: Final = r"^[0-9a-f]{32}$"
FEEDBACK = Literal["ACK", "NACK"]
OUTCOME = Literal["accepted", "exhausted", "feedback_error"]
Index = Annotated[int, Field(ge=0, le=MAX_INDEX)]
Ber = Annotated[float, Field(ge=0.0, le=0.5, allow_inf_nan=False)]
Theta = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]

REQUEST_ID: Final = "X-Request-ID"
DEADLINE_MS: Final = "SpikeLink-Deadline-Ms"
SEED: Final = "SpikeLink-Seed"
BER: Final = "SpikeLink-Ber"
CROSSOVER: Final = "SpikeLink-Crossover"
THRESHOLD: Final = "SpikeLink-Threshold"
#: What the edge decodes.
IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/webp")
OCTETS: Final = "application/octet-stream"


class Wire(BaseModel):
    """Base of all that is sent: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
