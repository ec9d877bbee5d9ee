# SPDX-License-Identifier: Apache-2.0
"""The same specification through three real nodes and in process: the same results, unit by unit, to the last byte."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from nodes import three_nodes
from sweeps import Heard
from toy import load_link
from toy_cifar import write_toy_test_set

from cli.processes import Nodes, Ports
from client import Client
from experiments.data.cifar100 import LabelledImages
from experiments.data.split import noise_block
from experiments.sweeps.engine import Engine, EngineError, Task, cpu_arithmetic
from experiments.sweeps.export import as_json
from experiments.sweeps.http_engine import HttpEngine
from experiments.sweeps.images import load_images
from experiments.sweeps.link_engine import LinkEngine
from experiments.sweeps.record import Point, Record
from experiments.sweeps.resolve import resolve
from experiments.sweeps.result import UnitResult
from experiments.sweeps.run import Limits, SweepRun
from experiments.sweeps.spec import Spec, read_spec
from models.link import Request
from models.systems import SYSTEMS
from models.weights import read_manifest
from service.stores.sweeps import SqliteSweepStore

SPEC = """
bers = [0.0, 0.2]
seeds = [7, 9007199254740991]
unit_images = 7
[images]
data_set = "cifar100-test"
count = 12
[[series]]
system = "snn-sc-harq"
[[series]]
system = "snn-sc-margin-harq"
bers = [0.2]
[[series]]
system = "multi-rate"
t = [5]
bers = [0.3]
[[series]]
system = "bypass"
bers = [0.0]
"""
DEADLINE = {"edge": {"SPIKELINK_DEADLINE_S": "600"}}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_toy_test_set(folder, 20)
    return folder


@pytest.fixture(scope="module")
def spec(images: Path) -> Spec:
    (images / "sweep.toml").write_text(SPEC)
    return read_spec(images / "sweep.toml")


@pytest.fixture(scope="module")
def nodes(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    store = f"sqlite://{tmp_path_factory.mktemp('sessions') / 'sessions.sqlite3'}"
    with three_nodes(toy_folder, {**DEADLINE, "cloud": {"SPIKELINK_STORE": store}}) as running:
        yield running


def client_of(nodes: Nodes) -> Client:
    return Client(nodes.urls["edge"], channel_url=nodes.urls["channel"], timeout_s=600)


def over_http(client: Client, folder: Path, patience_s: float = 0.0, heard: Heard | None = None) -> HttpEngine:
    sha256 = read_manifest("resnet18", folder).weights_sha256
    return HttpEngine(client, "resnet18", sha256, 3, patience_s, (heard or Heard()).notice)


def results(record: Record, images: LabelledImages, engine: Engine, folder: Path) -> tuple[dict[str, bytes], str]:
    """Run a sweep into a store of its own -> what the store then has, by unit, and what is exported."""

    async def run() -> tuple[dict[str, bytes], str]:
        store = SqliteSweepStore(folder / "sweeps.sqlite3")
        tally = await SweepRun(record, images, store, engine, Heard(), Limits()).run()
        assert tally.complete
        kept = {unit.unit: unit.result for unit in await store.finished(record.id)}
        await store.close()
        return kept, as_json(tally)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def over_the_nodes(
    toy_folder: Path, images: Path, spec: Spec, nodes: Nodes, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], str]:
    """By unit, and exported."""
    manifest, labelled = read_manifest("resnet18", toy_folder), load_images(spec.images, images)
    with client_of(nodes) as client, closing(over_http(client, toy_folder)) as http:
        record = resolve(spec, manifest, labelled, asyncio.run(http.arithmetic()))
        return results(record, labelled, http, tmp_path_factory.mktemp("http"))


@pytest.mark.parametrize("workers", [1, 2])
def test_http_and_link_give_the_same(
    toy_folder: Path, images: Path, spec: Spec, over_the_nodes: tuple[dict[str, bytes], str], tmp_path: Path,
    workers: int,
) -> None:  # fmt: skip  # one line less
    manifest, labelled = read_manifest("resnet18", toy_folder), load_images(spec.images, images)
    record = resolve(spec, manifest, labelled, cpu_arithmetic("resnet18"))
    with closing(LinkEngine("resnet18", toy_folder, workers)) as link:
        found = results(record, labelled, link, tmp_path)
    assert found == over_the_nodes
    assert len(found[0]) == 2 * (1 + 2 + 2 + 2 + 1)


def test_a_unit_is_what_the_link_says(toy_folder: Path, images: Path, spec: Spec) -> None:
    labelled = load_images(spec.images, images)
    theta = read_manifest("resnet18", toy_folder).thresholds["snn-sc-harq"]
    task = Task("resnet18", Point(system="snn-sc-harq", theta=theta, t=None, ber=0.1), 7, labelled)
    with closing(LinkEngine("resnet18", toy_folder, 1)) as link:
        found = asyncio.run(link.compute(task))
    blocks = tuple(noise_block(name) for name in labelled.ids())
    request = Request(SYSTEMS["snn-sc-harq"], 0.1, 7, blocks, theta)
    traces = load_link(toy_folder).run(labelled.images_NCHW, request)
    assert found.class_indices == tuple(trace.class_index for trace in traces)
    assert found.bits == tuple(trace.bandwidth_bits for trace in traces)
    assert found.correct == tuple(np.array(found.class_indices) == labelled.labels_N)
    assert len(set(found.bits)) > 1


def task_of(labelled: LabelledImages, ber: float = 0.2) -> Task:
    return Task("resnet18", Point(system="snn-sc-harq", theta=0.5, t=None, ber=ber), 7, labelled)


def computed(engine: HttpEngine, task: Task) -> UnitResult:
    return asyncio.run(engine.compute(task))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("forward", {"model": "bursts"}), "the forward link flips other bits"),
        (("feedback", {"ber": 0.5}), "the feedback link inverts ACKs and NACKs"),
    ],
)
def test_a_disturbed_channel_is_noticed(
    toy_folder: Path, images: Path, spec: Spec, nodes: Nodes, change: tuple[str, dict[str, float]], says: str
) -> None:
    """Its figures would be another channel's, under the name of this one."""
    task = task_of(load_images(spec.images, images))
    with client_of(nodes) as client, closing(over_http(client, toy_folder)) as http:
        before = computed(http, task)
        client.change_link(change[0], **change[1])  # type: ignore[arg-type]
        try:
            with pytest.raises(EngineError, match=f"{says}.*spikelink channel reset"):
                computed(http, task)
        finally:
            client.reset_links()
        assert computed(http, task) == before


def test_an_edge_with_other_weights_is_refused(toy_folder: Path, nodes: Nodes) -> None:
    for profile, sha256, says in (("resnet18", "0" * 64, "serves other weights"), ("resnet50", "", "does not serve")):
        with (
            client_of(nodes) as client,
            closing(HttpEngine(client, profile, sha256, 1, 0.0, print)) as http,
            pytest.raises(EngineError, match=f"the edge {says}"),
        ):
            asyncio.run(http.arithmetic())


def test_nodes_that_go_and_come_back(toy_folder: Path, images: Path, spec: Spec, tmp_path: Path) -> None:
    """The edge is stopped between two units; the third waits until another one stands in its place."""
    task, heard = task_of(load_images(spec.images, images)), Heard()
    store = {"cloud": {"SPIKELINK_STORE": f"sqlite://{tmp_path / 'sessions.sqlite3'}"}}
    with three_nodes(toy_folder, {**DEADLINE, **store}) as first:
        ports = Ports(*(int(first.urls[role].rpartition(":")[2]) for role in ("edge", "channel", "cloud")))
        client = client_of(first)
        http = over_http(client, toy_folder, 120.0, heard)
        before = computed(http, task)

    async def during() -> UnitResult:
        waiting = asyncio.create_task(http.compute(task))
        while not heard.notices:
            await asyncio.sleep(0.01)
        with three_nodes(toy_folder, {**DEADLINE, **store}, ports):
            return await waiting

    with client, closing(http):
        assert asyncio.run(during()) == before
        assert "nothing answers as the edge" in heard.notices[0]
        assert heard.notices[-1].startswith("nodes: back after ")
        with closing(over_http(client, toy_folder)) as impatient, pytest.raises(EngineError, match="nothing answers"):
            computed(impatient, task)
