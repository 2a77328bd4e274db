"""Request log: every reply that was ever received, by the content of its request; asking again costs nothing.

Formula  key = BLAKE2b-128 of (model, messages, sampling parameters, sample number); value = check + reply and usage as JSON, where
         check = the first 16 hex digits of BLAKE2b(key + JSON): a reply that fails it is asked again, never given out
Source   SQLite in WAL mode (sqlite.org/wal.html): a commit survives the death of the process at any instant
Flow     core.llm.teacher looks here before it calls and writes here as each reply arrives; a run killed with kill -9 asks at most
         the calls in flight again. The file's bytes depend on arrival order: keep it out of hashed outputs (a hidden name).
Run      with RequestLog(Path("work/.requests.sqlite")) as log: ...
Limits   A damaged file is set aside as `NAME.damaged`, and what can be read of it goes into a new one (core.llm.salvage).
"""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.llm.chat import Reply

VERSION = 1
MAGIC = b"SQLite format 3\0"
SALVAGED = ".salvaged"
_CHECK = 16  # hex digits
_TABLES = """
CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (id INTEGER PRIMARY KEY CHECK (id = 0), count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS batches (file TEXT PRIMARY KEY, batch TEXT);
INSERT OR IGNORE INTO attempts VALUES (0, 0);
"""


class Batch(NamedTuple):
    """A vendor's batch that was begun and whose replies are not in the log yet."""

    file: str
    """Id of the uploaded requests."""
    batch: str | None
    """Id of the batch; None: it was about to be created, and may or may not exist."""


class RequestLog:
    """A file of replies; several processes may share it. Use it as a context manager, in the thread that made it."""

    def __init__(self, path: Path) -> None:
        """Open or create; what can be read of a damaged log goes into a new one.

        Raises:
            BadInput: the file is something else.
            FailedWork: it cannot be written.
        """
        self._path = path
        self._new_attempts = 0
        self._lost = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() and (salvaged := path.with_name(path.name + SALVAGED)).exists():
            salvaged.replace(path)  # a kill between the two renames of a rescue
        self._database = _connect(path)
        with self._told():
            try:
                self._open()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) or not _is_database(path):
                    raise
                self._salvage(error)
                self._database = _connect(path)
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
            if not self._lost:
                self.flush()
        finally:
            self._database.close()

    def __len__(self) -> int:
        with self._told():
            return int(self._database.execute("SELECT COUNT(*) FROM replies").fetchone()[0])

    def get(self, key: bytes) -> Reply | None:
        """The reply to a request of this key, if it was ever received and is still whole."""
        with self._told():
            row = self._database.execute("SELECT CAST(reply AS BLOB) FROM replies WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            reply = decode(key, row[0])
            if reply is None:
                logging.getLogger(__name__).warning("%s: a reply is damaged and will be asked for again", self._path)
                self._begin()
                self._database.execute("DELETE FROM replies WHERE key = ?", (key,))
            return reply

    def put(self, key: bytes, reply: Reply) -> Reply:
        """Keep a reply from the next `flush` on; returns the one that stands, which is the first that ever arrived."""
        with self._told():
            self._begin()
            added = self._database.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, encode(key, reply)))
        return reply if added.rowcount else self.get(key) or reply

    def first_use(self, key: bytes, purpose: str) -> bool:
        """Whether the key is seen for the first time since `forget_uses`; the keys stand in a temporary table, not in memory."""
        with self._told():
            added = self._database.execute("INSERT OR IGNORE INTO temp.used VALUES (?, ?)", (purpose, key))
        return added.rowcount == 1

    def forget_uses(self, purpose: str) -> None:
        """Whoever counts keys for this purpose begins anew."""
        with self._told():
            self._database.execute("DELETE FROM temp.used WHERE purpose = ?", (purpose,))

    def attempt(self, calls: int = 1) -> None:
        """Count calls about to start, from the next `flush` on."""
        self._new_attempts += calls

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
        """Calls ever started and flushed; those beyond len(log) met a fault or were in flight at a kill."""
        with self._told():
            return int(self._database.execute("SELECT count FROM attempts").fetchone()[0])

    @property
    def batches(self) -> list[Batch]:
        """The batches that are still to be fetched, oldest first."""
        with self._told():
            return [Batch(*row) for row in self._database.execute("SELECT file, batch FROM batches ORDER BY rowid")]

    def begin_batch(self, batch: Batch) -> None:
        """Remember a batch, or the id that it has got by now; committed at once, because it costs money from here on."""
        with self._told():
            self._begin()
            self._database.execute(
                "INSERT INTO batches VALUES (?, ?) ON CONFLICT (file) DO UPDATE SET batch = excluded.batch", batch
            )
        self.flush()

    def end_batch(self, file: str) -> None:
        """Its replies are in the log: commit both together."""
        with self._told():
            self._begin()
            self._database.execute("DELETE FROM batches WHERE file = ?", (file,))
        self.flush()

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
        self._database.execute(
            "CREATE TEMP TABLE used (purpose TEXT, key BLOB, PRIMARY KEY (purpose, key)) WITHOUT ROWID"
        )

    def _salvage(self, error: sqlite3.DatabaseError) -> tuple[int, Path]:
        from skyloom.core.llm.salvage import salvage

        self._database.close()
        saved, aside = salvage(self._path)
        logging.getLogger(__name__).warning(
            "%s: damaged (%s); %d replies were saved, the rest will be asked for again; the old file is now %s",
            self._path, error, saved, aside,
        )  # fmt: skip
        return saved, aside

    @contextmanager
    def _told(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.ProgrammingError as error:  # closed: by a rescue, or too early
            raise FailedWork(self._lost or f"{self._path}: {error}") from error
        except sqlite3.OperationalError as error:  # disk full, read-only, locked
            raise FailedWork(f"{self._path}: {error}; what is already logged stays, run again to go on") from error
        except sqlite3.DatabaseError as error:
            if not _is_database(self._path):
                raise BadInput(f"{self._path}: not a request log ({error}); move it away and run again") from error
            saved, aside = self._salvage(error)
            self._lost = (
                f"{self._path}: damaged ({error}); {saved} replies were saved and the old file is now {aside.name}: run again "
                "to go on from them"
            )
            raise FailedWork(self._lost) from error


def encode(key: bytes, reply: Reply) -> str:
    """A reply as the log keeps it."""
    values = {
        field.name: getattr(reply, field.name) for field in fields(reply)
    }  # dataclasses.asdict takes ten times as long
    text = json.dumps(values)
    return _check(key, text.encode()) + text


def decode(key: bytes, value: object) -> Reply | None:
    """A reply that the log kept, as UTF-8; None where it is not whole. Earlier versions wrote no check: then JSON says what is whole."""
    if not isinstance(value, bytes):
        return None
    text = value if value.startswith(b"{") else value[_CHECK:]
    if text is not value and _check(key, text) != value[:_CHECK].decode("latin-1"):
        return None
    try:
        return Reply(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _check(key: bytes, text: bytes) -> str:
    return hashlib.blake2b(key + text, digest_size=_CHECK // 2).hexdigest()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, timeout=30, isolation_level=None)
    except sqlite3.Error as error:
        raise FailedWork(f"{path}: {error}") from error


def _is_database(path: Path) -> bool:
    """Whether the file begins as SQLite's do, or as what is left of one does."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(MAGIC))
    except OSError:
        return False
    return MAGIC.startswith(begin)
