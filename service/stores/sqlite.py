# SPDX-License-Identifier: Apache-2.0
"""Sessions in one SQLite file: the default, with no server to run. Several processes of one host may share it."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from service.stores.protocol import Stored, StoreUnavailableError, Swap, next_version

T = TypeVar("T")

_BUSY_S = 2.0  # how long to wait for another process's write before giving up
_PREPARE_PAUSE_S = 0.01
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


class SqliteStore:
    """One connection in one thread of its own: the event loop never waits for the disk, and no lock is needed.

    After an error the connection is dropped and the next call opens the file afresh, so the store heals by itself when
    the disk has room again or the file was replaced. Not for network file systems: WAL needs shared memory. `clock` is
    the time of day in seconds, because processes and reboots share the file.
    """

    name = "sqlite"
    shared = True
    durable = True

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-store")
        self._connection: sqlite3.Connection | None = None  # touched in that thread only
        self._closed = False
        self._purge_at_s = 0.0

    async def open(self) -> None:
        await self.ping()

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

    async def ping(self) -> None:
        await self._run(lambda db: db.execute("SELECT 1 FROM sessions LIMIT 1").fetchone())

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.wrap_future(self._thread.submit(self._disconnect))
            self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreUnavailableError(f"sqlite store {self._path}: closed")
        try:
            return await asyncio.wrap_future(self._thread.submit(self._run_in_thread, work))
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(f"sqlite store {self._path}: {error}") from error

    def _run_in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return work(self._connection)
        except sqlite3.Error:
            self._disconnect()
            raise

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # isolation_level=None: every statement commits by itself.
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        try:
            _prepare_patiently(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _purge(self, db: sqlite3.Connection, now_s: float) -> None:
        """Delete what has expired, at most every `_PURGE_EVERY_S`; the index makes an empty purge a single look-up."""
        if now_s >= self._purge_at_s:
            self._purge_at_s = now_s + _PURGE_EVERY_S
            db.execute("DELETE FROM sessions WHERE expires_s <= ?", (now_s,))


def _prepare_patiently(db: sqlite3.Connection) -> None:
    """Set up the file as :func:`_prepare` does, again and again while another process is doing the same.

    Where two connections turn a new file to WAL, SQLite refuses one of them at once ("database is locked"): waiting
    with its lock held could be a deadlock, so SQLite's own time-out does not apply.
    """
    give_up_s = time.monotonic() + _BUSY_S
    while True:
        try:
            return _prepare(db)
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the low byte is the primary code
            if not busy or time.monotonic() >= give_up_s:
                raise
            time.sleep(_PREPARE_PAUSE_S)


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")  # readers do not wait for the writer
    # NORMAL does not wait for the disk at each commit. In WAL mode that cannot corrupt the file, and a crash of
    # the process loses nothing. A power cut may lose the last commits: the edge then meets an older session,
    # gets 409 or 410 and replays its frames. Measured per commit: 0.1 ms, against 2.7 ms with FULL.
    db.execute("PRAGMA synchronous = NORMAL")
    db.executescript(_SCHEMA)
