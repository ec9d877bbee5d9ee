# SPDX-License-Identifier: Apache-2.0
"""A run of the bench: the reference, the scenarios one after the other, the reference's best once more."""

from collections.abc import Callable, Iterable
from typing import Final

import httpx2

from client import Client, Node, SpikeLinkError
from experiments.bench.channel_alone import ROWS, channel_rows
from experiments.bench.crew import crew
from experiments.bench.items import Sender, items_of
from experiments.bench.levels import Levels
from experiments.bench.link import Job
from experiments.bench.load import MOST_CONNECTIONS
from experiments.bench.machine import check_weights, cores, machine, setting, tile_of
from experiments.bench.nodes import Meter
from experiments.bench.plan import WITH_REFERENCE, Listener, Options, Scenario
from experiments.bench.reference import layouts, throughputs
from experiments.bench.report import Load, Reference, ReferenceRow, Report
from experiments.bench.session import session_state
from experiments.bench.sweep import SweepBench, sweep_spec
from experiments.sweeps.engine import EngineError
from experiments.sweeps.material import gather
from experiments.sweeps.means import Edge
from service.stores import StoreUnavailableError
from service.wire import NodeInfo

#: Where the capacity is measured if no concurrency level is asked for.
_MANY: Final = 32
_TIMEOUT_S: Final = 120.0


class Run:
    """One run, which ``measure`` carries out.

    Both raise what ``client`` raises, CrewError, OtherWeightsError, SpecError, DataSetMissingError, WeightsError.
    """

    def __init__(self, options: Options, listener: Listener) -> None:
        self._options, self._plan, self._listener = options, options.plan, listener
        spec = sweep_spec(options.profile, options.images, options.plan.seed)
        self._material = gather(spec, options.data, options.weights)
        self._items = items_of(self._material.images, options.count, options.plan.seed)
        self._sizes = tuple(size for size in options.plan.sizes if size <= len(self._items))
        self._found: dict[str, object] = {}
        self._skipped: dict[str, str] = {}

    def measure(self) -> Report:
        """Everything that was asked for, in the order of ``Scenario``."""
        nodes = self._options.nodes
        transport = httpx2.HTTPTransport(
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=MOST_CONNECTIONS)
        )
        with (
            Client(
                nodes.urls["edge"],
                channel_url=nodes.urls.get("channel"),
                token=nodes.token,
                timeout_s=_TIMEOUT_S,
                transport=transport,
            ) as client,
            Meter(nodes) as meter,
        ):
            edge = client.info()
            weights_sha256 = self._material.manifest.weights_sha256
            check_weights(edge, self._options.profile, weights_sha256)
            device = _device(edge)
            self._found["machine"] = machine(self._options, device)
            self._found["setting"] = setting(self._options, weights_sha256, edge, self._store())
            sender = Sender(client, self._items, self._options.profile)
            levels = Levels(sender, meter, self._plan.duration_s, self._plan.seed)
            self._beside_the_reference(self._job(edge), levels, edge.torch_threads or 1)
            self._attempt(Scenario.CHANNEL, self._channel)
            self._attempt(Scenario.SESSION, lambda: self._session(client))
            self._attempt(Scenario.SWEEP, self._sweep)
        return self._report()

    def _asked(self, *scenarios: Scenario) -> bool:
        return not self._options.scenarios.isdisjoint(scenarios)

    def _job(self, edge: NodeInfo) -> Job:
        arithmetic = (_device(edge), edge.dtype == "bfloat16", tile_of(edge, self._options.profile))
        return Job(self._options.weights, self._options.profile, *arithmetic, self._items)

    def _store(self) -> str | None:
        url = self._options.nodes.urls.get("cloud")
        if url is None:
            return None
        with Node(url, role="cloud", token=self._options.nodes.token) as cloud:
            return cloud.info().store

    def _beside_the_reference(self, job: Job, levels: Levels, threads: int) -> None:
        """The link in process, the loads on the edge, the link's best once more."""
        if not self._asked(*WITH_REFERENCE):
            return
        tell, duration_s = self._listener.level, self._plan.duration_s
        chosen = layouts(cores(), job.device)
        self._listener.begin("reference", len(chosen) * len(self._sizes))
        rows: list[ReferenceRow] = []
        for layout in chosen:
            rows += throughputs(job, layout, self._sizes, duration_s, tell)
        levels.warm_up()
        self._single(job, levels, threads)
        self._concurrency(levels)
        self._open_loop(levels)
        self._batches(levels)
        best = max(rows, key=lambda row: row.images_per_s)
        self._listener.begin("reference, again", 1)
        layout = (best.processes, best.threads)
        (again,) = throughputs(job, layout, (best.batch,), duration_s, tell)
        self._found["reference"] = Reference(rows=tuple(rows), again=again)

    def _single(self, job: Job, levels: Levels, threads: int) -> None:
        """Measured whatever is asked for: other levels' queues are counted from it."""
        self._listener.begin(Scenario.SINGLE, 2 if self._asked(Scenario.SINGLE) else 1)
        self._listener.level("one image at a time")
        load = levels.alone()
        if self._asked(Scenario.SINGLE):
            self._listener.level("one image at a time, through the nodes and in process in turns")
            with crew(job, 1, threads) as alone:
                alone.rounds_ms(0)  # buffers are made
                self._found["single"] = levels.split(load, alone.rounds_ms)

    def _concurrency(self, levels: Levels) -> None:
        if self._asked(Scenario.CONCURRENCY):
            self._listener.begin(Scenario.CONCURRENCY, len(self._plan.connections))
            self._found["concurrency"] = [self._singles(levels, number) for number in self._plan.connections]

    def _singles(self, levels: Levels, connections: int) -> Load:
        self._listener.level(f"single images, {connections} at a time")
        return levels.singles(connections)

    def _open_loop(self, levels: Levels) -> None:
        if not self._asked(Scenario.OPEN_LOOP):
            return
        known = self._found.get("concurrency")
        self._listener.begin(Scenario.OPEN_LOOP, len(self._plan.shares) + (known is None))
        loads = known if isinstance(known, list) else [self._singles(levels, _MANY)]
        capacity_per_s = max(load.images_per_s for load in loads)
        found = []
        for share in self._plan.shares:
            self._listener.level(f"single images at {share:.0%} of {capacity_per_s:.1f} a second")
            found.append(levels.arrivals("poisson", capacity_per_s, share))
        self._found["open_loop"] = found

    def _batches(self, levels: Levels) -> None:
        if not self._asked(Scenario.BATCHES):
            return
        self._listener.begin(Scenario.BATCHES, len(self._sizes) * len(self._plan.batch_connections))
        found = []
        for connections in self._plan.batch_connections:
            for size in self._sizes:
                self._listener.level(f"batches of {size}, {connections} at a time")
                found.append(levels.batches(size, connections))
        self._found["batches"] = found

    def _attempt(self, scenario: Scenario, measure: Callable[[], None]) -> None:
        """Part of the run whose failure must not cost what has been measured before."""
        if not self._asked(scenario):
            return
        try:
            measure()
        except (SpikeLinkError, EngineError, StoreUnavailableError) as error:
            self._skipped[scenario] = str(error)

    def _channel(self) -> None:
        self._listener.begin(Scenario.CHANNEL, len(ROWS))
        start, profile, plan = self._options.start_channel, self._options.profile, self._plan
        self._found["channel"] = list(channel_rows(start, profile, plan.seed, plan.duration_s, self._listener.level))

    def _session(self, client: Client) -> None:
        store_url = self._options.nodes.store_url
        if store_url is None:
            self._skipped[Scenario.SESSION] = "the store of nodes that were running cannot be read"
            return
        self._listener.begin(Scenario.SESSION, 1)
        self._listener.level("a session's record after each round")
        self._found["session"] = session_state(client, self._items, self._options.profile, store_url)

    def _sweep(self) -> None:
        self._listener.begin(Scenario.SWEEP, 2)
        with self._options.start_edge() as url:
            edge = Edge(url, self._options.nodes.token, _TIMEOUT_S)
            bench = SweepBench(self._material, self._options.weights, edge, cores())
            self._found["sweep"] = bench.compare(self._listener.level, self._listener.notice)

    def _report(self) -> Report:
        known = {"ready_s": self._options.nodes.ready_s, "skipped": self._skipped}
        return with_ratios(Report.model_validate({**known, **self._found}))


def with_ratios(report: Report) -> Report:
    """The same with each load's throughput as a ratio to the reference's best."""
    if report.reference is None:
        return report
    best_per_s = report.reference.best.images_per_s

    def rated(loads: Iterable[Load]) -> tuple[Load, ...]:
        return tuple(load.model_copy(update={"ratio": load.images_per_s / best_per_s}) for load in loads)

    changes: dict[str, object] = {
        "concurrency": rated(report.concurrency),
        "open_loop": rated(report.open_loop),
        "batches": rated(report.batches),
    }
    if report.single is not None:
        (load,) = rated([report.single.load])
        changes["single"] = report.single.model_copy(update={"load": load})
    return report.model_copy(update=changes)


def _device(edge: NodeInfo) -> str:
    return (edge.device or "cpu").partition(":")[0]
