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


def sqlite_path(url: SplitResult) -> Path:
    """The file that an SQLite URL names. Raises ValueError."""
    if url.netloc or not url.path.startswith("/") or url.path.endswith("/") or url.query or url.fragment:
        raise ValueError("store URL: an SQLite file is named sqlite:///absolute/path.sqlite3, with three slashes")
    return Path(unquote(url.path))


def redis_url(url: SplitResult) -> str:
    """The URL for redis-py. Raises ValueError."""
    database = url.path.removeprefix("/")
    # Options in the query would reach redis-py unchecked and could undo the timeouts.
    if not url.hostname or not _port_fits(url) or not (database or "0").isdecimal() or url.query or url.fragment:
        raise ValueError(f"store URL: Redis is named {url.scheme}://[user:password@]host[:port][/number]")
    return url.geturl()


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
    SqliteStore: lambda url: SqliteStore(sqlite_path(url)),
    RedisStore: lambda url: RedisStore(redis_url(url)),
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
