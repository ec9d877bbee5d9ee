# SPDX-License-Identifier: Apache-2.0
"""Real nodes under mixed traffic for a bounded time: what they hold after it is what they held after the warm-up.

``SPIKELINK_SOAK_S`` says how long; the bounds stay what they are, so that a longer run sees a smaller leak
(docs/testing.md).
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest
from nodes import metric, three_nodes, until
from soak_traffic import IMAGES, PNG, Held, Traffic, settled

from cli.processes import Nodes, Ports

SOAK_S: Final = float(os.environ.get("SPIKELINK_SOAK_S", "8"))
WARM_UP_S: Final = min(max(6.0, SOAK_S / 4), 120.0)
WORKERS: Final = 3
#: Sessions that were left expire within the warm-up, so that the state of those is as much before as after.
TTL_S: Final = 2

#: What may be more after than before. Memory: the allocator keeps what it was given, and rounds up. Files: connections
#: kept for the next request. Threads: the pools have not always been full.
MORE_MIB, MORE_FILES, MORE_THREADS = 32.0, 12, 8

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc, which only Linux has")


@pytest.fixture(scope="module")
def nodes(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("store")
    environment = {
        # No padding: more requests in the same time. One heap: else each of the many threads has its own, and fills it.
        "": {"SPIKELINK_TILE": "1", "MALLOC_ARENA_MAX": "1"},
        "cloud": {
            "SPIKELINK_STORE": f"sqlite://{folder / 'sessions.sqlite3'}",
            "SPIKELINK_SESSION_TTL_S": str(TTL_S),
            "SPIKELINK_CACHE_MIB": "16",  # or the busiest two seconds decide how much is held
        },
        "dashboard": {"SPIKELINK_SWEEP_STORE": f"sqlite://{folder / 'sweeps.sqlite3'}"},
    }
    with three_nodes(toy_folder, environment, Ports(0, 0, 0, 0)) as running:
        yield running


def test_what_nodes_hold_does_not_grow(nodes: Nodes, toy_folder: Path) -> None:
    traffic = Traffic(nodes.urls, toy_folder)
    with traffic.flowing(WORKERS):
        time.sleep(WARM_UP_S)
    before, warm = settled(nodes.pids), dict(traffic.done)
    with traffic.flowing(WORKERS):
        time.sleep(SOAK_S)
    after = settled(nodes.pids)
    report = {role: (before[role], after[role]) for role in before}
    print(f"{sum(warm.values())} requests, then {traffic.done.total() - sum(warm.values())}: {report}")  # noqa: T201
    assert all(traffic.done[kind] > warm.get(kind, 0) for kind in traffic.done), "each kind of request took place"
    grown = [f"{role}: {before[role]} -> {held}" for role, held in after.items() if not _flat(before[role], held)]
    assert not grown, grown
    _assert_idle(nodes)


def _flat(before: Held, after: Held) -> bool:
    return (
        after.rss_mib <= before.rss_mib + MORE_MIB
        and after.files <= before.files + MORE_FILES
        and after.threads <= before.threads + MORE_THREADS
    )


def _assert_idle(nodes: Nodes) -> None:
    """Nothing waits, and of the sessions that were left no state is kept once they have expired."""
    with httpx2.Client(timeout=60, trust_env=False) as http:
        clients = {role: httpx2.Client(base_url=url, timeout=60, trust_env=False) for role, url in nodes.urls.items()}
        assert metric(clients["edge"], "edge_abandoned_total") > 0

        def given_back() -> bool:
            assert http.post(nodes.urls["edge"] + "/v1/classify", content=IMAGES[0], headers=PNG).status_code == 200
            return metric(clients["cloud"], "cloud_cache_bytes") == 0

        until(given_back, "the state of sessions that were left", 10 * TTL_S)
        assert [metric(clients[role], "compute_waiting") for role in ("edge", "cloud")] == [0, 0]
        for client in clients.values():
            client.close()
