# SPDX-License-Identifier: Apache-2.0
"""A small run of every scenario against real nodes with random networks, its JSON, its page."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import pytest
from nodes import three_nodes
from toy import load_link
from toy_cifar import write_toy_test_set

from cli.benching import channel_before
from experiments.bench.items import BER, SYSTEM, Items, items_of
from experiments.bench.nodes import NodesUnderTest, cpu_s
from experiments.bench.plan import Options, Plan, Scenario
from experiments.bench.reference import layouts
from experiments.bench.report import Load, Report, ReportError, read_report
from experiments.bench.run import Run, with_ratios
from experiments.bench.sheets import sheets
from experiments.sweeps.spec import Images
from models.link import Request
from models.systems import SYSTEMS
from models.weights import read_manifest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
IMAGES, SEED, TIME_S = 6, 7, 0.3
PLAN = Plan(TIME_S, SEED, sizes=(1, 4, 8), connections=(1, 3), batch_connections=(2,), shares=(0.5,))


class Heard:
    """What a run says of itself, and whether it says how long it will be."""

    def __init__(self) -> None:
        self.parts: dict[str, int] = {}
        self.levels: list[str] = []
        self.notices: list[str] = []

    def begin(self, what: str, levels: int) -> None:
        self.parts[what] = levels

    def level(self, text: str) -> None:
        self.levels.append(text)

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_toy_test_set(folder, 9)
    return folder


@pytest.fixture(scope="module")
def nodes(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodesUnderTest]:
    store_url = f"sqlite://{tmp_path_factory.mktemp('store') / 'sessions.sqlite3'}"
    with three_nodes(toy_folder, {"cloud": {"SPIKELINK_STORE": store_url}}) as started:
        yield NodesUnderTest(started.urls, None, started.pids, dict.fromkeys(started.urls, 2.5), store_url)


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def report(toy_folder: Path, data: Path, nodes: NodesUnderTest, heard: Heard) -> Report:
    """Every scenario, as on a machine of one core: a process less to start for each thing that is measured."""
    images = Images(data_set="cifar100-test", count=IMAGES)
    options = Options(
        scenarios=frozenset(Scenario),
        plan=PLAN,
        nodes=nodes,
        start_channel=channel_before,
        start_edge=lambda: nullcontext(nodes.urls["edge"]),
        images=images,
        count=IMAGES,
        data=data,
        profile="resnet18",
        weights=toy_folder,
        load_before=0.25,
        note="a test",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.bench.run.cores", lambda: 1)
        return Run(options, heard).measure()


@pytest.fixture(scope="module")
def items(data: Path) -> Items:
    from experiments.data.cifar100 import load

    return items_of(load(data, "test").by_id(IMAGES), IMAGES, SEED)


def loads_of(report: Report) -> list[Load]:
    assert report.single is not None
    return [report.single.load, *report.concurrency, *report.open_loop, *report.batches]


def test_every_scenario_has_figures_and_nothing_failed(report: Report, heard: Heard) -> None:
    assert [load.connections for load in report.concurrency] == [1, 3]
    assert [(load.batch, load.connections) for load in report.batches] == [(1, 2), (4, 2)]  # eight images there are not
    assert [load.share for load in report.open_loop] == [0.5]
    for load in loads_of(report):
        assert load.failures == {}
        assert load.latency is not None
        assert load.latency.count == load.requests >= 1
        assert load.images_per_s > 0
        assert load.cpu_ms.keys() == {"edge", "channel", "cloud", "client"}
        assert load.cpu_ms["edge"] > 0
        assert load.compute_ms.keys() == load.queue_ms.keys() == {"edge", "cloud"}
    assert report.skipped == {}
    assert sum(heard.parts.values()) == len(heard.levels)
    assert heard.notices == []


def test_ratios_are_to_the_fastest_link(report: Report) -> None:
    assert report.reference is not None
    rows = (*report.reference.rows, report.reference.again)
    best = max(row.images_per_s for row in rows)
    assert {row.batch for row in rows} == {1, 4}
    assert {(row.processes, row.threads) for row in rows} == {(1, 1)}
    assert layouts(8, "cpu") == [(1, 8), (8, 1)]
    assert layouts(8, "cuda") == [(1, 8)]
    for load in loads_of(report):
        assert load.ratio == pytest.approx(load.images_per_s / best)
    assert with_ratios(report) == report
    assert with_ratios(report.model_copy(update={"reference": None})).reference is None


def test_an_open_loop_offers_half_of_what_was_reached(report: Report) -> None:
    capacity_per_s = max(load.images_per_s for load in report.concurrency)
    (load,) = report.open_loop
    assert load.requests == max(1, round(0.5 * capacity_per_s * TIME_S))
    assert load.offered_per_s == load.requests / TIME_S


def test_rounds_and_their_networks_are_those_of_the_link(report: Report, toy_folder: Path, items: Items) -> None:
    """Every image comes once before any comes twice, so that the mean of the first ones is known."""
    single = report.single
    assert single is not None
    assert (single.unpaired_images, single.failures) == (0, {})
    theta = read_manifest("resnet18", toy_folder).thresholds[SYSTEM]
    request = Request(SYSTEMS[SYSTEM], BER, SEED, tuple(range(IMAGES)), theta)
    rounds = [len(trace.rounds) for trace in load_link(toy_folder).run(items.images_NCHW, request)]
    images = single.total.count
    expected = [rounds[number % IMAGES] for number in range(images)]
    assert single.rounds_per_image == pytest.approx(sum(expected) / images)
    assert single.networks.count == single.beside.count == single.round.count == sum(expected)
    parts = single.edge.mean_ms + single.channel.mean_ms + single.cloud.mean_ms
    assert parts == pytest.approx(single.round.mean_ms)
    assert single.round.mean_ms - single.networks.mean_ms == pytest.approx(single.beside.mean_ms)
    assert single.networks.mean_ms > 0
    assert single.http.p50_ms > 0


def test_the_channel_is_measured_alone(report: Report) -> None:
    assert [(row.blocks, row.connections) for row in report.channel] == [(1, 1), (1, 8), (64, 1)]
    for row in report.channel:
        assert row.failures == {}
        assert row.frames > 8
        assert row.channel is not None
        assert row.latency is not None
        assert row.channel.count == row.frames
        assert 0 < row.channel.p50_ms < row.latency.p50_ms
        assert row.cpu_ms is not None
        assert 0 < row.cpu_ms < 1000 * TIME_S


def test_a_sessions_record_grows_by_its_bits_until_it_ends(report: Report) -> None:
    assert report.session is not None
    sizes = report.session.bytes_by_round
    assert len(sizes) == 5
    assert sizes[0] > 2080 // 8
    growth = [later - earlier for earlier, later in pairwise(sizes[:4])]
    assert all(512 // 8 < more < 512 // 8 + 64 for more in growth)
    assert sizes[4] < sizes[3] < 1000


def test_the_sweep_is_the_same_both_ways(report: Report) -> None:
    assert report.sweep is not None
    assert (report.sweep.images, report.sweep.units, report.sweep.equal) == (IMAGES, 4, True)
    assert report.sweep.ratio == report.sweep.link_s / report.sweep.http_s > 0


def test_json_comes_back_and_the_page_needs_nothing_else(report: Report, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(report.model_dump_json(indent=1))
    assert read_report(file) == report
    pages = []
    for docs in (tmp_path / "once", tmp_path / "again"):
        command = [sys.executable, "-m", "cli", "bench", "--draw", str(file), "--docs", str(docs)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        pages.append({path.relative_to(docs): path.read_bytes() for path in sorted(docs.rglob("*.*"))})
    assert pages[0] == pages[1]
    page = pages[0][Path("performance.md")].decode()
    for sheet in sheets(report):
        assert " | ".join(sheet.heading) in page
        assert all(" | ".join(row) in page for row in sheet.rows)
    for name in ("throughput", "latency", "round"):
        assert f"(images/performance-{name}.svg)" in page
        assert pages[0][Path("images") / f"performance-{name}.svg"].startswith(b"<?xml")


def test_another_file_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ReportError, match="is no report of this version"):
        read_report(tmp_path / "other.json")
    with pytest.raises(ReportError, match="cannot be read"):
        read_report(tmp_path / "absent.json")


def test_processor_time_is_the_processs_own() -> None:
    code = "import time; sum(range(10**7)); print(time.process_time(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        said = float(child.stdout.readline())
        assert said > 0.1
        assert cpu_s(child.pid) == pytest.approx(said, abs=0.05)
        child.communicate("\n")
