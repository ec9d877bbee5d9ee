# SPDX-License-Identifier: Apache-2.0
"""Where the cloud keeps its sessions: one protocol, SQLite and Redis behind it, memory while they are away."""

from service.stores.catalog import STORES, open_store
from service.stores.memory import MemoryStore
from service.stores.protocol import SessionStore, Stored, StoreUnavailableError, Swap
from service.stores.redis import RedisStore
from service.stores.resilient import ResilientStore
from service.stores.sqlite import SqliteStore

__all__ = [
    "STORES",
    "MemoryStore",
    "RedisStore",
    "ResilientStore",
    "SessionStore",
    "SqliteStore",
    "StoreUnavailableError",
    "Stored",
    "Swap",
    "open_store",
]
