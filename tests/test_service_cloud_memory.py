# SPDX-License-Identifier: Apache-2.0
"""What the cloud keeps in memory of sessions is given back: when they end, and when nobody comes for them any more."""

import asyncio
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
from manual_clock import ManualClock
from nodes import NEVER, Sender, metric, running_cloud

from service.nodes.cloud.engine import StateCache
from service.stores import MemoryStore


def test_a_session_that_is_closed_leaves_no_state(toy_folder: Path) -> None:
    """On request, because a NACK was corrupted: of the blocks that it closes."""
    sender = Sender(toy_folder, images=3, theta=NEVER)
    with running_cloud(toy_folder, "memory://") as cloud:
        cloud.send(sender.frame(1))
        before = metric(cloud.http, "cloud_cache_bytes")
        assert cloud.result(sender.session, 0).status_code == 200
        assert metric(cloud.http, "cloud_cache_bytes") == pytest.approx(before * 2 / 3)
        second = cloud.send(sender.frame(2, [1, 2])).answers
        assert cloud.result(sender.session, 1, 2).status_code == 200
        assert metric(cloud.http, "cloud_cache_bytes") == 0
        undisturbed = Sender(toy_folder, images=3, theta=NEVER)
        cloud.send(undisturbed.frame(1))
        assert cloud.send(undisturbed.frame(2, [1, 2])).answers == second, "what was kept is what was received"


def test_a_state_that_nobody_asked_for_goes_with_its_session(toy_folder: Path) -> None:
    """Its caller left, or another replica went on with it."""
    clock = ManualClock()
    with (
        patch("service.nodes.cloud.app.StateCache", partial(StateCache, clock=clock)),
        running_cloud(toy_folder, "memory://", session_ttl_s=100) as cloud,
    ):
        left, used = Sender(toy_folder), Sender(toy_folder)
        one = cloud.send(left.frame(1)) and metric(cloud.http, "cloud_cache_bytes")
        cloud.send(used.frame(1))
        clock.now_s += 60
        cloud.send(used.frame(2))
        assert metric(cloud.http, "cloud_cache_bytes") > 2 * one > 0
        clock.now_s += 60
        cloud.send(used.frame(3))
        cloud.send(used.frame(4))
        kept = metric(cloud.http, "cloud_cache_bytes")
        assert cloud.result(used.session, 0).status_code == 200
        assert metric(cloud.http, "cloud_cache_bytes") == 0 < kept


def test_copies_of_expired_records_go_before_the_memory_is_full() -> None:
    clock = ManualClock()
    store = MemoryStore(limit=1000, clock=clock)

    async def run() -> int:
        for number in range(50):
            await store.swap(f"{number}", b"record", expected=None, ttl_s=10)
            clock.now_s += 5
        return len(store._entries)

    # 2 are alive; those of the 30 s since the last look may lie there as well.
    assert asyncio.run(run()) <= 2 + 30 / 5
