"""Request log: every reply that was ever received, by the content of its request; asking again costs nothing.

Formula  key = BLAKE2b-128 of (model, messages, sampling parameters, sample number); value = reply and usage as JSON
Source   SQLite in WAL mode (sqlite.org/wal.html): a commit survives the death of the process at any instant
Flow     core.llm.teacher looks here before it calls and writes here as each reply arrives; a run killed with kill -9 asks at most
         the calls in flight again. The file's bytes depend on arrival order: keep it out of hashed outputs (a hidden name).
Run      with RequestLog(Path("work/.requests.sqlite")) as log: ...
"""

import json
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Self

from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.chat import Reply

VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (id INTEGER PRIMARY KEY CHECK (id = 0), count INTEGER NOT NULL);
INSERT OR IGNORE INTO attempts VALUES (0, 0);
"""


class RequestLog:
    """A file of replies; several processes may share it. Use it as a context manager, in the thread that made it."""

    def __init__(self, path: Path) -> None:
        """Open or create; raises BadInput where the file is something else, FailedWork where it cannot be written."""
        self._path = path
        self._new_attempts = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._database = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Flush, merge the write-ahead file and let go."""
        try:
            self.flush()
        finally:
            self._database.close()

    def __len__(self) -> int:
        with self._told():
            return int(self._database.execute("SELECT COUNT(*) FROM replies").fetchone()[0])

    def get(self, key: bytes) -> Reply | None:
        """The reply to a request of this key, if it was ever received."""
        with self._told():
            row = self._database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else Reply(**json.loads(row[0]))

    def put(self, key: bytes, reply: Reply) -> Reply:
        """Keep a reply from the next `flush` on; returns the one that stands, which is the first that ever arrived."""
        with self._told():
            self._begin()
            added = self._database.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, json.dumps(_values(reply)))
            )
        return reply if added.rowcount else self.get(key) or reply

    def attempt(self) -> None:
        """Count one HTTP call about to start, from the next `flush` on."""
        self._new_attempts += 1

    def flush(self) -> None:
        """Commit what was put since the last flush. One commit for all that arrives together makes the log five times faster."""
        with self._told():
            if self._new_attempts:
                self._begin()
                self._database.execute("UPDATE attempts SET count = count + ?", (self._new_attempts,))
                self._new_attempts = 0
            if self._database.in_transaction:
                self._database.execute("COMMIT")

    @property
    def attempts(self) -> int:
        """HTTP calls ever started and flushed; those beyond len(log) met a fault or were in flight at a kill."""
        with self._told():
            return int(self._database.execute("SELECT count FROM attempts").fetchone()[0])

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _open(self) -> None:
        version = int(self._database.execute("PRAGMA user_version").fetchone()[0])
        tables = self._database.execute("SELECT name FROM sqlite_master").fetchall()
        if version != VERSION and tables:
            raise BadInput(f"{self._path}: not a request log of version {VERSION}; move it away and run again")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")  # survives kill -9; a power cut may lose the last replies
        self._database.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")

    @contextmanager
    def _told(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # disk full, read-only, locked
            raise FailedWork(f"{self._path}: {error}; what is already logged stays, run again to go on") from error
        except sqlite3.DatabaseError as error:
            raise BadInput(f"{self._path}: not a request log ({error}); move it away and run again") from error


def _values(reply: Reply) -> dict[str, object]:
    """As dataclasses.asdict, which copies deeply and takes ten times as long."""
    return {field.name: getattr(reply, field.name) for field in fields(reply)}
