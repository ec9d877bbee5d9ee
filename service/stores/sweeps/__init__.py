# SPDX-License-Identifier: Apache-2.0
"""Where sweeps and their results lie, for good: one protocol, SQLite and Redis behind it."""

from service.stores.sweeps.catalog import SWEEP_STORES, default_sweep_store, open_sweep_store
from service.stores.sweeps.protocol import FinishedUnit, StoredSweep, SweepStore
from service.stores.sweeps.redis import RedisSweepStore
from service.stores.sweeps.sqlite import SqliteSweepStore

__all__ = [
    "SWEEP_STORES",
    "FinishedUnit",
    "RedisSweepStore",
    "SqliteSweepStore",
    "StoredSweep",
    "SweepStore",
    "default_sweep_store",
    "open_sweep_store",
]
