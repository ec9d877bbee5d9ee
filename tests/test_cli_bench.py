# SPDX-License-Identifier: Apache-2.0
"""``spikelink bench`` as a user types it: nodes that run already, what cannot be measured, what fails."""

import json
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from nodes import png, running_channel, running_cloud, running_edge
from toy import toy_images
from toy_cifar import write_toy_test_set
from typer.testing import CliRunner, Result

from cli.app import main
from client import Client
from experiments.bench.crew import CrewError, crew
from experiments.bench.items import Items
from experiments.bench.link import Job
from experiments.bench.nodes import Meter, NodesUnderTest
from experiments.bench.report import read_report


def spikelink(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)], env={"COLUMNS": "100"})


def complaint(done: Result) -> str:
    assert done.exit_code == 1, done.stdout
    (line,) = done.stderr.splitlines()
    return line


def test_running_nodes_are_measured_where_they_are(toy_folder: Path, tmp_path: Path) -> None:
    write_toy_test_set(tmp_path, 4)
    file = tmp_path / "kept" / "bench.json"
    with (
        running_cloud(toy_folder, "memory://") as cloud,
        running_channel(str(cloud.http.base_url)) as channel,
        running_edge(toy_folder, str(channel.base_url)) as (edge, _),
    ):
        found = {"edge": edge.base_url, "channel": channel.base_url, "cloud": cloud.http.base_url}
        urls = {role: str(url) for role, url in found.items()}
        shared = [f"--{role}={url}" for role, url in urls.items()]
        shared += ["--images=2", "--duration-s=0.1", f"--data={tmp_path}"]
        done = spikelink("channel", "session", *shared, "--weights", toy_folder, "--json", file, "--note", "tests")
        assert (done.exit_code, done.stderr) == (0, "")
        assert "The channel alone" in done.stdout
        assert "session is left out: the store of nodes that were running cannot be read" in done.stdout
        line = complaint(spikelink("single", *shared))
        assert line.startswith("spikelink: the edge serves other weights of resnet18, ")  # than the project's own
        with Meter(NodesUnderTest(urls)) as meter, Client(urls["edge"]) as client:
            before = meter.read()
            client.classify(png(toy_images(1)[0]))
            after = meter.read()
        assert after.cpu_ms_since(before, 1).keys() == {"client"}  # of processes that are not ours nothing is known
        assert after.compute_ms_since(before).keys() == {"edge", "cloud"}
        assert before.compute_ms_since(before) == after.cpu_ms_since(before, 0) == {}
    report = read_report(file)
    assert [row.failures for row in report.channel] == [{}] * 3
    assert (report.reference, report.single, report.ready_s) == (None, None, {})
    assert (report.setting.own_nodes, report.setting.store, report.machine.note) == (False, "memory", "tests")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("speed",), "there is no scenario 'speed': there are single, concurrency"),
        (("--cloud", "http://127.0.0.1:9"), "--channel and --cloud belong to an --edge"),
        (("--edge", "http://127.0.0.1:9", "--data", "FOLDER"), "nothing answers as the edge"),
        (("--data", "ABSENT"), "get it by 'spikelink data fetch'"),
        (("--profile", "resnet51"), "there is no profile 'resnet51'"),
        (("--draw", "ABSENT"), "absent cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    write_toy_test_set(tmp_path / "data", 4)
    places = {"FOLDER": tmp_path / "data", "ABSENT": tmp_path / "absent"}
    assert reason in complaint(spikelink(*(places.get(word, word) for word in arguments), "--images", 2))


def test_a_measuring_process_that_dies_or_cannot_load_is_one_line(toy_folder: Path, tmp_path: Path) -> None:
    items = Items(np.zeros((1, 3, 32, 32), dtype=np.uint8), (b"",), 0)
    job = Job(toy_folder, "resnet18", "cpu", False, 16, items)
    with crew(job, 1, 1) as workers:
        assert len(workers.rounds_ms(0)) >= 1
        (child,) = active_children()
        child.kill()
        with pytest.raises(CrewError, match="a measuring process has died"):
            workers.rounds_ms(0)
    with pytest.raises(CrewError, match="has no weights"), crew(replace(job, weights=tmp_path), 1, 1):
        pass


def test_the_committed_report_is_the_pages(tmp_path: Path) -> None:
    """What docs/performance.md shows is what --draw writes from the JSON beside it."""
    docs = Path(__file__).resolve().parents[1] / "docs"
    done = spikelink("--draw", docs / "results" / "bench.json", "--docs", tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert (tmp_path / "performance.md").read_text() == (docs / "performance.md").read_text()
    assert json.loads((docs / "results" / "bench.json").read_text())["machine"]["note"]
