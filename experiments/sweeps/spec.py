# SPDX-License-Identifier: Apache-2.0
"""What a sweep is asked to measure, in a TOML file or as JSON. Whether the systems are there is checked later."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

#: What the edge takes in one batch. A multiple of 16 wastes nothing: inference is padded to tiles of at most 16, and 50
#: images cost what 64 do.
MOST_UNIT_IMAGES: Final = 256

Ber = Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)]
Theta = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**53 - 1)]
Steps = Annotated[int, Field(ge=1, le=64)]
DataSet = Literal["cifar100-test", "cifar100-validation"]


class SpecError(ValueError):
    """A specification that cannot be carried out; the message is one line and says why."""


class _Part(BaseModel):
    """Strict, because a seed of "7" or a count of 1e3 is rather a slip than a wish."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Series(_Part):
    """One system, at each of its thresholds (the profile's own where none is given) or at each of its t."""

    system: str
    thresholds: Annotated[tuple[Theta, ...], Field(min_length=1)] | None = None
    t: Annotated[tuple[Steps, ...], Field(min_length=1)] | None = None
    bers: Annotated[tuple[Ber, ...], Field(min_length=1)] | None = Field(
        None, description="instead of the sweep's, for example 0 alone for the error-free reference"
    )


class Images(_Part):
    """A range of a data set or of a folder of labelled images, in the order of the images' ids."""

    data_set: DataSet | None = None
    folder: Path | None = Field(
        None, description="with a folder of image files for each class, under CIFAR-100's name of it"
    )
    first: int = Field(0, ge=0)
    count: int | None = Field(None, ge=1, description="all that follow unless given")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.data_set is None) is (self.folder is None):
            raise ValueError("name either data_set or folder")
        return self


class Spec(_Part):
    """A sweep's specification."""

    name: str | None = Field(None, min_length=1, max_length=80)
    profile: str = "resnet18"
    bers: tuple[Ber, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    series: tuple[Series, ...] = Field(min_length=1)
    images: Images
    stop_at_half_width: float | None = Field(
        None, gt=0, lt=50, description="points of accuracy: a grid point ends when its 95 % interval is as narrow"
    )
    unit_images: int = Field(48, ge=1, le=MOST_UNIT_IMAGES, description="images a unit of work")

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str | None) -> str | None:
        if name is not None and not name.isprintable():
            raise ValueError("it is shown in lists and must be printable")
        return name

    @field_validator("bers", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if twice := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"{twice[0]:g} stands there twice")
        return values


def read_spec(path: Path) -> Spec:
    """The specification in a TOML file; a folder of images is taken from where the file lies. Raises SpecError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # TOML's own errors and those of UTF-8
        raise SpecError(f"{path} is not TOML: {error}") from None
    try:
        spec = spec_of(content)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    if spec.images.folder is None:
        return spec
    folder = (path.absolute().parent / spec.images.folder).resolve()
    return spec.model_copy(update={"images": spec.images.model_copy(update={"folder": folder})})


def spec_of(content: Mapping[str, object]) -> Spec:
    """The specification that a TOML file or a JSON object holds. Raises SpecError."""
    try:
        # As JSON, whose strict reading knows that a list may be a tuple and a text a path.
        return Spec.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise SpecError(_first(error)) from None


def _first(error: ValidationError) -> str:
    # A key that is misspelt comes first: that the right one is missing follows from it.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    if first["type"] == "extra_forbidden":
        *inside, key = first["loc"]
        return f"{_path(inside)}there is no key {key!r}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{_path(first['loc'])}{message[:1].lower()}{message[1:]}"


def _path(places: Sequence[int | str]) -> str:
    """As one would write it, with a colon: ``series[1].thresholds[0]: ``; nothing for the whole."""
    text = "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in places)
    return f"{text.removeprefix('.')}: " if text else ""
