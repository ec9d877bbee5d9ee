# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster that fails in ways that a real one does not fail on demand, behind the real engine."""

import asyncio
import socket
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from sweeps import Heard, made_record, sorted_images

from experiments.sweeps.engine import EngineError, Task
from experiments.sweeps.ray_worker import Terms


class MadeUpActor:
    """Stands for a cluster whose actors fail: at their start, or with every unit, or never come."""

    def __init__(self, start: str, unit: str) -> None:
        self.check = SimpleNamespace(remote=lambda: self._do(start))
        self.compute = SimpleNamespace(remote=lambda *_: self._do(unit))

    async def _do(self, what: str) -> None:
        from ray.exceptions import ActorDiedError

        if what == "hangs":
            await asyncio.Event().wait()
        if what == "dies":
            raise ActorDiedError


@pytest.mark.parametrize(
    ("start", "unit", "actors", "says"),
    [
        ("lives", "dies", 4, "3 Ray workers in a row died of one unit"),
        ("dies", "lives", 3, "Ray workers do not start"),
        ("hangs", "lives", 1, "the Ray cluster has no worker for this sweep"),
    ],
)
def test_a_cluster_that_cannot_do_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch, start: str, unit: str, actors: int, says: str
) -> None:
    from experiments.sweeps import ray_engine

    made: list[MadeUpActor] = []

    def actor(terms: Any) -> MadeUpActor:
        made.append(MadeUpActor(start, unit))
        return made[-1]

    remote = lambda **_: lambda worker: SimpleNamespace(remote=actor)  # noqa: E731
    monkeypatch.setattr(ray_engine, "ray", SimpleNamespace(remote=remote, put=lambda images: images))
    monkeypatch.setattr(ray_engine, "_START_S", 0.2)
    monkeypatch.setattr(ray_engine, "_PAUSE_S", 0.01)
    images = sorted_images(2)

    async def compute() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            engine = ray_engine.RayEngine(address, Terms("resnet18", None, "", ""), 1, 0.05, Heard().notice)
            with closing(engine):
                await engine.compute(Task("resnet18", made_record(images).points[0], 3, images))

    with pytest.raises(EngineError, match=says):
        asyncio.run(asyncio.wait_for(compute(), 30))
    assert len(made) in (actors, actors - 1)  # the last may not have been replaced yet
