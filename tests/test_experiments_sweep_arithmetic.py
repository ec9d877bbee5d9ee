# SPDX-License-Identifier: Apache-2.0
"""What a sweep through the nodes is named by: the cloud's arithmetic as well as the edge's, as long as it stays so."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from nodes import NOWHERE, running_channel, running_cloud, running_edge
from sweeps import Heard, sorted_images
from toy_cifar import write_toy_test_set

from client import Client, SweepRefusedError
from experiments.sweeps.engine import EngineError, Task, cpu_arithmetic
from experiments.sweeps.http_engine import HttpEngine
from experiments.sweeps.means import Edge, Means
from experiments.sweeps.record import Point
from experiments.sweeps.resolve import resolve
from experiments.sweeps.spec import spec_of
from experiments.sweeps.through_nodes import resolve_spec
from models.weights import read_manifest

SPEC = {
    "name": "one",
    "bers": [0.1],
    "seeds": [7],
    "images": {"data_set": "cifar100-test", "count": 4},
    "series": [{"system": "snn-sc-harq"}],
}
IMAGES = sorted_images(4)
TASK = Task("resnet18", Point(system="snn-sc-harq", theta=0.5, t=None, ber=0.1), 7, IMAGES)


@contextmanager
def nodes(folder: Path, edge: dict[str, object], cloud: dict[str, object]) -> Iterator[Client]:
    """Edge and cloud with these settings, and a channel between them."""
    with (
        running_cloud(folder, "memory://", **cloud) as beyond,
        running_channel(str(beyond.http.base_url)) as channel,
        running_edge(folder, str(channel.base_url), **edge) as (http, _),
        Client(str(http.base_url), timeout_s=60) as client,
    ):
        yield client


def engine(client: Client, folder: Path) -> HttpEngine:
    return HttpEngine(client, "resnet18", read_manifest("resnet18", folder).weights_sha256, 2, 0.0, Heard().notice)


@pytest.mark.parametrize(
    ("edge", "cloud", "expected"),
    [
        ({}, {}, "cpu float32 tile 4"),
        ({}, {"tile": 8}, "edge cpu float32 tile 4, cloud cpu float32 tile 8"),
        ({"tile": 8}, {}, "edge cpu float32 tile 8, cloud cpu float32 tile 4"),
        ({"tile": 8}, {"tile": 8}, "cpu float32 tile 8"),
        ({}, {"bf16": True}, "edge cpu float32 tile 4, cloud cpu bfloat16 tile 4"),
    ],
)
def test_a_sweep_is_named_by_both(
    toy_folder: Path, edge: dict[str, object], cloud: dict[str, object], expected: str
) -> None:
    manifest, spec = read_manifest("resnet18", toy_folder), spec_of(SPEC)
    with nodes(toy_folder, edge, cloud) as client, closing(engine(client, toy_folder)) as http:
        found = asyncio.run(http.arithmetic())
    assert found == expected
    through, in_process = (
        resolve(spec, manifest, IMAGES, name) for name in (found, cpu_arithmetic("resnet18"))
    )  # fmt: skip
    assert (through.id == in_process.id) == (not edge and not cloud)


def test_a_cloud_whose_arithmetic_changes_is_refused(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two units, while no node was ever away: each round says what it was computed with."""
    with (
        nodes(toy_folder, {}, {}) as before,
        nodes(toy_folder, {}, {"tile": 8}) as after,
        closing(engine(before, toy_folder)) as http,
    ):
        asyncio.run(http.compute(TASK))
        monkeypatch.setattr(http, "_client", after)
        with pytest.raises(EngineError, match="with cpu float32 tile 8, and not with cpu float32 tile 4"):
            asyncio.run(http.compute(TASK))
        with pytest.raises(EngineError, match=r"now compute with edge .*, no longer with cpu float32 tile 4"):
            asyncio.run(http.arithmetic())


def test_a_cloud_that_is_away_is_the_nodes_fault(toy_folder: Path, tmp_path: Path) -> None:
    """It had shown with the first unit only."""
    write_toy_test_set(tmp_path, 4)
    with (
        running_channel(NOWHERE) as channel,
        running_edge(toy_folder, str(channel.base_url), deadline_s=1.0) as (edge, _),
    ):
        means = Means(Edge(str(edge.base_url), None), tmp_path, toy_folder)
        with pytest.raises(SweepRefusedError) as refused:
            asyncio.run(resolve_spec(spec_of(SPEC), means))
    assert refused.value.at_fault == "nodes"
