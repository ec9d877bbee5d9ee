# SPDX-License-Identifier: Apache-2.0
"""Sweeps in one SQLite file: the default, with no server to run. Several processes of one host may share it."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.stores.sqlite_file import SqliteFile
from service.stores.sweeps.protocol import FinishedUnit, StoredSweep

# AUTOINCREMENT never gives a number twice, and SQLite has one writer at a time: whoever has read up to a number will
# never find a smaller one later.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sweeps (
    position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, content BLOB NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS units (name TEXT PRIMARY KEY, result BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS finished (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, sweep TEXT NOT NULL, unit TEXT NOT NULL, UNIQUE (sweep, unit)
);
CREATE INDEX IF NOT EXISTS finished_in_order ON finished (sweep, sequence);
"""
_SWEEP = "SELECT id, content, cancelled FROM sweeps"
_FINISHED = """
SELECT sequence, unit, result FROM finished JOIN units ON name = unit
WHERE sweep = ? AND sequence > ? ORDER BY sequence LIMIT ?
"""
_NAMES_A_QUERY: Final = 500


class SqliteSweepStore(SqliteFile):
    """Three tables: sweeps, results of units, and which sweep has finished which unit, in which order."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, schema=_SCHEMA, probe="SELECT 1 FROM sweeps LIMIT 1")

    async def put_sweep(self, sweep: str, content: bytes) -> None:
        statement = "INSERT INTO sweeps (id, content) VALUES (?, ?) ON CONFLICT (id) DO NOTHING"
        await self._run(lambda db: db.execute(statement, (sweep, content)))

    async def sweep(self, sweep: str) -> StoredSweep | None:
        row = await self._run(lambda db: db.execute(f"{_SWEEP} WHERE id = ?", (sweep,)).fetchone())
        return _stored(row) if row else None

    async def sweeps(self) -> list[StoredSweep]:
        rows = await self._run(lambda db: db.execute(f"{_SWEEP} ORDER BY position").fetchall())
        return [_stored(row) for row in rows]

    async def set_cancelled(self, sweep: str, cancelled: bool) -> None:
        statement = "UPDATE sweeps SET cancelled = ? WHERE id = ?"
        await self._run(lambda db: db.execute(statement, (int(cancelled), sweep)))

    async def finish(self, sweep: str, unit: str, result: bytes) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO units VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (unit, result))
            note = "INSERT INTO finished (sweep, unit) VALUES (?, ?) ON CONFLICT (sweep, unit) DO NOTHING"
            db.execute(note, (sweep, unit))
            db.execute("COMMIT")  # after an error the connection is dropped, and with it all of this

        await self._run(work)

    async def results(self, units: Sequence[str]) -> dict[str, bytes]:
        def work(db: sqlite3.Connection) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for start in range(0, len(units), _NAMES_A_QUERY):
                names = units[start : start + _NAMES_A_QUERY]
                marks = ", ".join("?" * len(names))
                found.update(db.execute(f"SELECT name, result FROM units WHERE name IN ({marks})", names).fetchall())
            return found

        return await self._run(work)

    async def finished(self, sweep: str, *, after: int = 0, limit: int = 1000) -> list[FinishedUnit]:
        rows = await self._run(lambda db: db.execute(_FINISHED, (sweep, after, limit)).fetchall())
        return [FinishedUnit(*row) for row in rows]


def _stored(row: tuple[str, bytes, int]) -> StoredSweep:
    return StoredSweep(row[0], row[1], bool(row[2]))
