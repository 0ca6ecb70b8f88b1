"""Keeps landmarks and the twins among files beside the facts of files, so that audio is read once.

Landmarks are kept by the hash of a file's bytes: a file that was moved or copied has them already.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from datasets.engine.twins.landmarks import VERSION, Landmarks

TABLES = (
    "CREATE TABLE IF NOT EXISTS landmarks (sha256 TEXT PRIMARY KEY, version INT, data BLOB) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS twins (files TEXT PRIMARY KEY, found TEXT) WITHOUT ROWID",
)


def keep(connection: sqlite3.Connection, sha256: str, made: Landmarks) -> None:
    """Stores the landmarks of a file in an open database."""
    for table in TABLES:
        connection.execute(table)
    connection.execute("INSERT OR REPLACE INTO landmarks VALUES (?, ?, ?)", (sha256, VERSION, made.to_bytes()))


def kept(index: Path) -> set[str]:
    """The hashes of the files whose landmarks are stored."""
    rows = _read(index, "SELECT sha256 FROM landmarks WHERE version = ?", [(VERSION,)])
    return {sha256 for (sha256,) in rows}


def landmarks_of(index: Path, files: Iterable[str]) -> dict[str, Landmarks]:
    """The stored landmarks of files, by their hashes."""
    query = "SELECT sha256, data FROM landmarks WHERE version = ? AND sha256 = ?"
    rows = _read(index, query, [(VERSION, sha256) for sha256 in files])
    return {sha256: Landmarks.from_bytes(data) for sha256, data in rows}


def twins_of(index: Path, files: Collection[str], rules: int) -> list[dict[str, Any]] | None:
    """The twins among files that were found before by the same rules; None if nobody looked for them."""
    rows = _read(index, "SELECT found FROM twins WHERE files = ?", [(_key(files, rules),)])
    with suppress(ValueError):
        return list(json.loads(rows[0][0])) if rows else None
    return None


def keep_twins(index: Path, files: Collection[str], rules: int, found: Sequence[dict[str, Any]]) -> None:
    """Stores the twins among files; where that is impossible they are looked for again."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(index, timeout=60)) as connection, connection:
        for table in TABLES:
            connection.execute(table)
        connection.execute("INSERT OR REPLACE INTO twins VALUES (?, ?)", (_key(files, rules), json.dumps(found)))


def _key(files: Collection[str], rules: int) -> str:
    return hashlib.sha256(json.dumps([VERSION, rules, sorted(files)]).encode()).hexdigest()


def _read(index: Path, query: str, values: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows for each of some values; none if there is no such table."""
    if not index.exists():
        return []
    try:
        with closing(sqlite3.connect(index, timeout=60)) as connection:
            return [row for value in values for row in connection.execute(query, value)]
    except sqlite3.Error:
        return []
