# SPDX-License-Identifier: Apache-2.0
"""Decide all that a specification leaves open, and refuse what cannot be measured, before anything is computed."""

from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from itertools import product

import numpy as np

from experiments.data.cifar100 import LabelledImages
from experiments.evaluation.units import fingerprint
from experiments.sweeps.record import Point, Record
from experiments.sweeps.spec import Series, Spec, SpecError
from models.parts import cloud_parts, edge_parts
from models.profiles import PROFILES, Profile
from models.systems import SYSTEMS, System, first_frame
from models.weights import Manifest, lacks


def resolve(spec: Spec, manifest: Manifest, images: LabelledImages, arithmetic: str) -> Record:
    """The sweep that a specification comes to with these weights and images. Raises SpecError.

    ``arithmetic`` says what decides the last bits of a result besides the weights: device, precision, tile.
    """
    profile = profile_of(spec)
    points = [
        point
        for index, series in enumerate(spec.series)
        for point in _points(f"series[{index}]", series, spec, profile, manifest)
    ]
    rows, size = np.arange(len(images)), spec.unit_images
    chunks = [images.select(rows[start : start + size]) for start in range(0, len(images), size)]
    return Record(
        version=version("spikelink"),
        spec=spec,
        points=tuple(dict.fromkeys(points)),
        weights={point.system: _weights(SYSTEMS[point.system], profile, manifest) for point in points},
        weights_sha256=manifest.weights_sha256,
        arithmetic=arithmetic,
        images=len(images),
        chunks=tuple(fingerprint(chunk) for chunk in chunks),
    )


def difference(before: Record, now: Record) -> str | None:
    """What keeps a sweep that was begun from going on as it would be resolved now, None where nothing does."""
    if before.id == now.id:
        return None
    if before.weights != now.weights:
        return f"the weights of {now.spec.profile} are no longer those that it began with"
    if before.chunks != now.chunks:
        return "its images are no longer those that it began with"
    if before.arithmetic != now.arithmetic:
        return f"it began on {before.arithmetic}, and here is {now.arithmetic}"
    return "the profile's default thresholds are no longer those that it began with"


def profile_of(spec: Spec) -> Profile:
    """Raises SpecError."""
    if spec.profile not in PROFILES:
        raise SpecError(f"profile: there is no {spec.profile!r}: there are {', '.join(PROFILES)}")
    return PROFILES[spec.profile]


def _points(where: str, series: Series, spec: Spec, profile: Profile, manifest: Manifest) -> Iterator[Point]:
    system = SYSTEMS.get(series.system)
    if system is None:
        raise SpecError(f"{where}: there is no system {series.system!r}: there are {', '.join(SYSTEMS)}")
    if missing := lacks(system, manifest):
        raise SpecError(f"{where}: profile {profile.name} does not serve {system.name}: it lacks {', '.join(missing)}")
    bers = spec.bers if series.bers is None else series.bers
    if system.error_free and max(bers) > 0:
        raise SpecError(f"{where}: {system.name} is the error-free reference: give it bers = [0]")
    thetas, steps = _thetas(where, series, system, manifest), _steps(where, series, system, profile)
    for theta, t, ber in product(thetas, steps, bers):
        yield Point(system=system.name, theta=theta, t=t, ber=ber)


def _thetas(where: str, series: Series, system: System, manifest: Manifest) -> tuple[float | None, ...]:
    if system.takes_threshold:
        return series.thresholds or (manifest.thresholds[system.name],)
    if series.thresholds is not None:
        raise SpecError(f"{where}: system {system.name} takes no thresholds")
    return (None,)


def _steps(where: str, series: Series, system: System, profile: Profile) -> tuple[int | None, ...]:
    steps: tuple[int | None, ...] = series.t or (None,)
    for t in steps:
        try:
            first_frame(system, profile.harq, t)
        except ValueError as error:
            raise SpecError(f"{where}: {error}") from None
    return steps


def _weights(system: System, profile: Profile, manifest: Manifest) -> str:
    """One name for the files that a system uses and for its HARQ parameters: training another codec changes neither."""
    parts = sorted({*edge_parts(system), *cloud_parts(system)})
    lines = "".join(f"{part} {manifest.parts[part].sha256}\n" for part in parts)
    return sha256(f"{profile.name} {profile.t0} {profile.max_steps}\n{lines}".encode()).hexdigest()
