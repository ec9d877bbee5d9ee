# SPDX-License-Identifier: Apache-2.0
"""Which points the feed is told of, where a sweep was there before and where its store has lost it. A real store."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sweeps import made_record, sorted_images
from test_experiments_sweep_desk import desk_of, run

from service.nodes.dashboard.feed import Feed
from service.nodes.dashboard.sweep_news import SweepNews
from service.stores.sweeps import SqliteSweepStore

RECORD = made_record(sorted_images(8))


async def images_told(feed: Feed) -> int | None:
    """Of the sweep's points, as whoever opens the page now hears of them; None where nothing is said of any."""
    ended = iter((False, True))
    found = None
    async for block in feed.stream(None, lambda: next(ended)):
        lines = dict(line.split(": ", 1) for line in block.decode().strip().splitlines() if ": " in line)
        if lines.get("event") == "points":
            found = sum(point["images"] for point in json.loads(lines["data"])["points"])
    return found


@pytest.mark.asyncio
async def test_a_sweep_that_starts_anew_in_an_emptied_store_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sweeps.sqlite3"
    theirs = SqliteSweepStore(path)
    desk, feed = desk_of(SqliteSweepStore(path)), Feed()
    news = SweepNews(desk, feed)
    await run(RECORD, theirs, 4)
    await news.look()
    assert await images_told(feed) is None, "it was there before anybody looked"
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("finished", "units", "sweeps"):
            database.execute(f"DELETE FROM {table}")
    await news.look()
    await run(RECORD, theirs, 3)
    await news.look()
    assert await images_told(feed) is not None, "three units are fewer than before, and all are new"
    await theirs.close()
    await desk.close()
