# SPDX-License-Identifier: Apache-2.0
"""Sessions in one SQLite file: the default, with no server to run. Several processes of one host may share it."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from service.stores.protocol import Stored, Swap, next_version
from service.stores.sqlite_file import SqliteFile

_PURGE_EVERY_S = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, expires_s REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires_s);
"""
_LOAD = "SELECT value, version FROM sessions WHERE key = ? AND expires_s > ?"
# Each is one statement, so SQLite makes it one transaction: no other process can come between test and write.
_CREATE = """
INSERT INTO sessions (key, value, version, expires_s) VALUES (:key, :value, :version, :expires_s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, expires_s = excluded.expires_s
WHERE sessions.expires_s <= :now_s
"""
_ADVANCE = """
UPDATE sessions SET value = :value, version = :version, expires_s = :expires_s
WHERE key = :key AND version = :expected AND expires_s > :now_s
"""


class SqliteStore(SqliteFile):
    """The sessions' table. `clock` is the time of day in seconds, because processes and reboots share the file."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, schema=_SCHEMA, probe="SELECT 1 FROM sessions LIMIT 1")
        self._clock = clock
        self._purge_at_s = 0.0

    async def load(self, key: str) -> Stored | None:
        row = await self._run(lambda db: db.execute(_LOAD, (key, self._clock())).fetchone())
        return Stored(*row) if row else None

    async def swap(
        self, key: str, value: bytes, *, expected: int | None, ttl_s: float, version: int | None = None
    ) -> Swap:
        version = next_version(expected, version)

        def work(db: sqlite3.Connection) -> bool:
            now_s = self._clock()
            self._purge(db, now_s)
            row = {"key": key, "value": value, "version": version, "expected": expected}
            statement = _CREATE if expected is None else _ADVANCE
            return db.execute(statement, row | {"now_s": now_s, "expires_s": now_s + ttl_s}).rowcount == 1

        return Swap(True, True, version) if await self._run(work) else Swap(False, True)

    async def count(self) -> int:
        # Counts the index of the live sessions, which the cloud's own limit keeps short.
        query = "SELECT count(*) FROM sessions WHERE expires_s > ?"
        return int(await self._run(lambda db: db.execute(query, (self._clock(),)).fetchone()[0]))

    def _purge(self, db: sqlite3.Connection, now_s: float) -> None:
        """Delete what has expired, at most every `_PURGE_EVERY_S`; the index makes an empty purge a single look-up."""
        if now_s >= self._purge_at_s:
            self._purge_at_s = now_s + _PURGE_EVERY_S
            db.execute("DELETE FROM sessions WHERE expires_s <= ?", (now_s,))
