# SPDX-License-Identifier: Apache-2.0
"""The store of sweeps behind a URL."""

from pathlib import Path
from urllib.parse import urlsplit

from service.stores.catalog import redis_url, sqlite_path
from service.stores.sweeps.protocol import SweepStore
from service.stores.sweeps.redis import RedisSweepStore
from service.stores.sweeps.sqlite import SqliteSweepStore

SWEEP_STORES: dict[str, type[SqliteSweepStore] | type[RedisSweepStore]] = {
    "sqlite": SqliteSweepStore,
    "redis": RedisSweepStore,
    "rediss": RedisSweepStore,
}


def default_sweep_store() -> str:
    """The URL of a file in the user's own state folder, beside the sessions' one."""
    return f"sqlite://{Path.home() / '.local' / 'state' / 'spikelink' / 'sweeps.sqlite3'}"


def open_sweep_store(url: str) -> SweepStore:
    """The store that `url` names, not yet connected (`await store.open()`); ValueError if it names none.

    The message never repeats the URL, which may hold a password. Memory is no place for sweeps: results must last.
    """
    parts = urlsplit(url)
    store = SWEEP_STORES.get(parts.scheme)
    if store is None or not url.startswith(f"{parts.scheme}://"):
        raise ValueError(f"store URL: starts with none of {', '.join(f'{name}://' for name in SWEEP_STORES)}")
    return SqliteSweepStore(sqlite_path(parts)) if store is SqliteSweepStore else RedisSweepStore(redis_url(parts))
