"""What can be read of a damaged request log, as a new one.

Formula  every row id is looked up by itself, so that a broken page costs only its own rows; a reply whose check fails is left out
Source   SQLite: `PRAGMA writable_schema` lets a file be read that is shorter than its header says (sqlite.org/pragma.html)
Flow     core.llm.request_log, when SQLite calls the file malformed
Limits   A file whose first page is gone gives nothing: its replies are asked for again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from skyloom.core.llm.request_log import SALVAGED, Batch, RequestLog, decode

SMALLEST_ROW = 64  # bytes; bounds the row ids where SQLite cannot say which is the last


def salvage(path: Path) -> tuple[int, Path]:
    """Set a damaged log aside and put a new one in its place; returns how many replies it holds, and where the old one is."""
    fresh = path.with_name(path.name + SALVAGED)
    for old in (fresh, *_beside(fresh)):
        old.unlink(missing_ok=True)
    with RequestLog(fresh) as log, closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as damaged:
        with suppress(sqlite3.DatabaseError):
            damaged.execute("PRAGMA writable_schema = ON")
        for key, value in _rows(damaged, path):
            reply = decode(key, value)
            if reply is not None:
                log.put(key, reply)
        log.attempt(max(len(log), _count(damaged, "SELECT count FROM attempts")))
        with suppress(sqlite3.DatabaseError):
            for file, batch in damaged.execute("SELECT file, batch FROM batches").fetchall():
                log.begin_batch(Batch(file, batch))
        log.flush()
        saved = len(log)
    aside = _free(path)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    path.replace(aside)
    fresh.replace(path)
    return saved, aside


def _rows(damaged: sqlite3.Connection, path: Path) -> Iterator[tuple[bytes, object]]:
    last = _count(damaged, "SELECT MAX(rowid) FROM replies") or path.stat().st_size // SMALLEST_ROW
    for row in range(1, last + 1):
        with suppress(sqlite3.DatabaseError):
            for key, value in damaged.execute(
                "SELECT key, CAST(reply AS BLOB) FROM replies WHERE rowid = ?", (row,)
            ).fetchall():
                if isinstance(key, bytes):
                    yield key, value


def _count(damaged: sqlite3.Connection, question: str) -> int:
    with suppress(sqlite3.DatabaseError, TypeError):
        return int(damaged.execute(question).fetchone()[0])
    return 0


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _free(path: Path) -> Path:
    """NAME.damaged, or the next number that is free."""
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged{number}")
    return aside
