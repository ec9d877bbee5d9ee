# SPDX-License-Identifier: Apache-2.0
"""The store behind a URL."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from service.stores.memory import MemoryStore
from service.stores.protocol import SessionStore
from service.stores.redis import RedisStore
from service.stores.sqlite import SqliteStore

STORES: dict[str, type[SqliteStore] | type[RedisStore] | type[MemoryStore]] = {
    "sqlite": SqliteStore,
    "redis": RedisStore,
    "rediss": RedisStore,
    "memory": MemoryStore,
}


def _sqlite(url: SplitResult) -> SqliteStore:
    if url.netloc or not url.path.startswith("/") or url.path.endswith("/") or url.query or url.fragment:
        raise ValueError("store URL: an SQLite file is named sqlite:///absolute/path.sqlite3, with three slashes")
    return SqliteStore(Path(unquote(url.path)))


def _redis(url: SplitResult) -> RedisStore:
    database = url.path.removeprefix("/")
    # Options in the query would reach redis-py unchecked and could undo the timeouts.
    if not url.hostname or not _port_fits(url) or not (database or "0").isdecimal() or url.query or url.fragment:
        raise ValueError(f"store URL: Redis is named {url.scheme}://[user:password@]host[:port][/number]")
    return RedisStore(url.geturl())


def _memory(url: SplitResult) -> MemoryStore:
    if url.netloc or url.path or url.query or url.fragment:
        raise ValueError("store URL: memory is named memory:// and nothing more")
    return MemoryStore()


def _port_fits(url: SplitResult) -> bool:
    try:
        return url.port != 0
    except ValueError:
        return False


_READERS: dict[type, Callable[[SplitResult], SessionStore]] = {
    SqliteStore: _sqlite,
    RedisStore: _redis,
    MemoryStore: _memory,
}


def open_store(url: str) -> SessionStore:
    """The store that `url` names, not yet connected (`await store.open()`); ValueError if it names none.

    The message never repeats the URL, which may hold a password.
    """
    parts = urlsplit(url)
    store = STORES.get(parts.scheme)
    if store is None or not url.startswith(f"{parts.scheme}://"):
        raise ValueError(f"store URL: starts with none of {', '.join(f'{name}://' for name in STORES)}")
    return _READERS[store](parts)
