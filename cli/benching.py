# SPDX-License-Identifier: Apache-2.0
"""Run the bench from the command line: nodes of its own or running ones, a bar, the report as tables and JSON."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

from cli.bench_progress import BenchProgress
from cli.failures import CommandError
from cli.options import Device, read_token
from cli.own_process import keep_freed_memory
from cli.processes import Launch, Ports, running_nodes
from cli.sample_images import sample_images
from cli.signals import until_signalled
from cli.terminal import output
from experiments.bench.crew import CrewError
from experiments.bench.machine import OtherWeightsError
from experiments.bench.nodes import NodesUnderTest
from experiments.bench.plan import Options, Plan, Scenario
from experiments.bench.report import Report
from experiments.bench.run import Run
from experiments.bench.sheets import Sheet, sheets
from experiments.data.cifar100 import DataSetMissingError
from experiments.sweeps.spec import SpecError
from experiments.whole_files import whole_file
from models.weights import WEIGHTS_FOLDER, WeightsError

_DEADLINE_S = 300.0


@dataclass(frozen=True)
class Request:
    """What the command line asks for. ``urls`` are running nodes by role; without any they are started here."""

    scenarios: list[str]
    duration_s: float
    images: int
    seed: int
    profile: str
    device: Device
    urls: Mapping[str, str]
    token_file: Path | None
    data: Path | None
    weights: Path | None
    note: str | None


@dataclass
class _Readiness:
    """When each node was seen ready, in seconds from the start of all."""

    began_s: float = field(default_factory=time.monotonic)
    ready_s: dict[str, float] = field(default_factory=dict)

    def states(self, states: Mapping[str, str]) -> None:
        for role, state in states.items():
            if state == "ready":
                self.ready_s.setdefault(role, time.monotonic() - self.began_s)


def run_bench(request: Request, json_file: Path | None) -> None:
    """Measure, show, and write. Raises CommandError."""
    keep_freed_memory()  # sweeps of one worker are computed here
    load_before = os.getloadavg()[0]
    report: Report | None = None
    with until_signalled(), ExitStack() as stack:
        images, data = stack.enter_context(sample_images(request.data, request.images))
        nodes = stack.enter_context(_nodes(request))
        options = Options(
            scenarios=frozenset(Scenario(name) for name in request.scenarios),
            plan=Plan(request.duration_s, request.seed),
            nodes=nodes,
            start_channel=partial(channel_before, token=nodes.token),
            start_edge=partial(remembering_edge, nodes, request),
            images=images,
            count=request.images,
            data=data,
            profile=request.profile,
            weights=request.weights or WEIGHTS_FOLDER,
            load_before=load_before,
            note=request.note,
        )
        report = _measured(options)
    if report is None:
        raise CommandError("interrupted; the nodes are stopped")
    for sheet in sheets(report):
        output().print("", table_of(sheet), sep="\n")
    for what, reason in report.skipped.items():
        output().print(f"\n{what} is left out: {reason}", soft_wrap=True)
    if json_file is not None:
        try:
            with whole_file(json_file) as path:
                path.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{json_file} cannot be written: {error.strerror}") from error


def table_of(sheet: Sheet) -> Table:
    """For a terminal."""
    table = Table(title=sheet.title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for place, name in enumerate(sheet.heading):
        first, left = place == 0, place == 0 or sheet.text
        table.add_column(name, justify="left" if left else "right", no_wrap=first and not sheet.text)
    for row in sheet.rows:
        table.add_row(*row)
    return table


def _measured(options: Options) -> Report:
    try:
        with BenchProgress() as progress:
            return Run(options, progress).measure()
    except (CrewError, OtherWeightsError, DataSetMissingError, WeightsError, SpecError) as error:
        raise CommandError(str(error)) from None


@contextmanager
def _nodes(request: Request) -> Iterator[NodesUnderTest]:
    """As ``spikelink up`` starts them, but on free ports and with a store that goes with them."""
    token = read_token(request.token_file)
    if request.urls:
        yield NodesUnderTest(request.urls, token)
        return
    with TemporaryDirectory(prefix="spikelink-bench-") as folder:
        store_url = f"sqlite://{folder}/sessions.sqlite3"
        readiness = _Readiness()
        # The load repeats its images; what is measured is what new ones cost.
        forgetful = {"SPIKELINK_FEATURE_CACHE_MIB": "0"}
        environment = {"": _everywhere(request), "edge": forgetful, "cloud": {"SPIKELINK_STORE": store_url}}
        launch = Launch(environment, deadline_s=_DEADLINE_S, on_state=readiness.states)
        with running_nodes(Ports(0, 0, 0), launch) as nodes:
            yield NodesUnderTest(nodes.urls, token, nodes.pids, readiness.ready_s, store_url)


def _everywhere(request: Request) -> dict[str, str]:
    variables = {"SPIKELINK_LOG_LEVEL": "warning", "SPIKELINK_DEVICE": request.device.value}
    if request.weights is not None:
        variables["SPIKELINK_WEIGHTS"] = str(request.weights.absolute())
    return variables


@contextmanager
def remembering_edge(nodes: NodesUnderTest, request: Request) -> Iterator[str]:
    """The URL of an edge as it is by default, for sweeps: it remembers features, as the in-process engine does.

    One of its own, before the channel of the bench's nodes; nodes that were running before are taken as they are.
    Raises CommandError.
    """
    if request.urls:
        yield nodes.urls["edge"]
        return
    environment = {"": _everywhere(request), "edge": {"SPIKELINK_UPSTREAM": nodes.urls["channel"]}}
    with running_nodes(Ports(0, None, None), Launch(environment, deadline_s=_DEADLINE_S)) as started:
        yield started.urls["edge"]


@contextmanager
def channel_before(cloud_url: str, token: str | None = None) -> Iterator[NodesUnderTest]:
    """A channel of its own before the cloud at a URL, ready, and stopped at the end. Raises CommandError."""
    environment = {"channel": {"SPIKELINK_LOG_LEVEL": "warning", "SPIKELINK_UPSTREAM": cloud_url}}
    with running_nodes(Ports(None, 0, None), Launch(environment, deadline_s=_DEADLINE_S)) as nodes:
        yield NodesUnderTest(nodes.urls, token, nodes.pids)
