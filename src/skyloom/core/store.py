"""Files in and out: checked row readers, atomic writers, hashes.

Reading never guesses: a bad row becomes a Reject that names file, row and field; a file that cannot be read at all raises
BadInput. Writing goes to a hidden temporary file beside the target, is flushed to disk, and takes its name in one rename, so a
half-written file is never taken for a whole one. Every byte that Skyloom writes passes `write_bytes` or `publish`; the kill
tests inject there.

Flow  collect reads through it, every step writes through it.
"""

import gzip
import hashlib
import io
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput, BadRow, FailedWork
from skyloom.core.records import Raw, Reject

MAX_ROW_BYTES: int = 10_000_000
"""Longest JSON line, or text of one field, that is read: ours; the longest real pair that we know has under 1 MB."""
_MAX_DOCUMENT_BYTES: int = 2_000_000_000
_ROW_GROUP: int = 262_144
ROW_SUFFIXES: tuple[str, ...] = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


# --- writing ---


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file atomically and durably; raises FailedWork naming the path where the disk is full or read-only."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            _write(file, data)
            file.flush()
            os.fsync(file.fileno())
        publish(partial, path)


def _write(file: BinaryIO, data: bytes | memoryview) -> None:
    """A name of its own, so that kill tests can stop half-way."""
    file.write(data)


def publish(partial: Path, path: Path) -> None:
    """Give a finished file or directory its final name, durably. The target of a directory must not exist."""
    with _told(path):
        os.replace(partial, path)  # noqa: PTH105 - one call that tests can intercept
        fsync_path(path.parent)


def fsync_path(path: Path) -> None:
    """Flush a file or directory to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """UTF-8 text, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:  # Any: whatever json can hold
    """JSON with sorted keys and a final newline, atomically; NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One JSON object a line, keys in the order given, atomically."""
    with jsonl_writer(path) as write:
        for row in rows:
            write(row)


@contextmanager
def jsonl_writer(path: Path) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """`with jsonl_writer(path) as write: write(row)`: as `write_jsonl`, for more rows than memory holds; no file where it is left early."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as file:
            yield lambda row: _write(file, f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        publish(partial, path)


def write_parquet(path: Path, frame: pl.DataFrame | pa.Table) -> None:
    """A Parquet file (zstd), atomically; the same frame gives the same bytes with the same library versions."""
    buffer = io.BytesIO()
    if isinstance(frame, pl.DataFrame):
        # polars encodes columns in parallel: a third of pyarrow's time on 40 million rows
        frame.write_parquet(buffer, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP, statistics=True)
    else:
        pq.write_table(frame, buffer, compression="zstd", row_group_size=_ROW_GROUP, write_statistics=True)
    write_bytes(path, buffer.getbuffer())


@contextmanager
def _told(path: Path) -> Generator[None]:
    """Turn an OSError of writing into one line that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        remedy = (
            "free space or choose another --out; what is already written stays"
            if error.errno == 28
            else "check the path"
        )
        raise FailedWork(f"cannot write {path}: {error.strerror or error}; {remedy}") from error


# --- hashing ---


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_tree(folder: Path, skip: Callable[[str], bool] | None = None) -> dict[str, str]:
    """Relative path -> SHA-256 of every file below a folder, hidden files left out, in path order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [(path.relative_to(folder), path) for path in paths]
    kept = [
        (rel, p)
        for rel, p in names
        if not any(part.startswith(".") for part in rel.parts) and not (skip and skip(rel.name))
    ]
    return {rel.as_posix(): sha256(path) for rel, path in kept}


def digest(parts: Mapping[str, str]) -> str:
    """One 32-digit hash of a mapping of names to hashes."""
    text = "\n".join(f"{name} {parts[name]}" for name in sorted(parts))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def remove_tree(folder: Path) -> None:
    """Delete a folder; what cannot be deleted is told."""
    with _told(folder):
        shutil.rmtree(folder)


# --- reading ---


def find_files(path: Path, suffixes: Sequence[str] = ROW_SUFFIXES) -> tuple[Path, ...]:
    """The file itself, or every file below a folder with one of the suffixes, in path order; BadInput where there is none."""
    if path.is_file():
        return (path,)
    if not path.exists():
        raise BadInput(f"{path}: no such file or directory")
    found = tuple(sorted(each for each in path.rglob("*") if each.is_file() and each.name.endswith(tuple(suffixes))))
    if not found:
        raise BadInput(f"{path}: holds no {' '.join(suffixes)} file")
    return found


def read_bytes(path: Path, limit: int = _MAX_DOCUMENT_BYTES) -> bytes:
    """A whole file, `.gz` unpacked; raises BadInput for a missing, oversized or damaged file."""
    try:
        with _open(path) as file:
            data = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    if len(data) > limit:
        raise BadInput(f"{path}: larger than {limit:,} bytes")
    return data


def read_json_rows(path: Path) -> Iterator[Raw | Reject]:
    """Rows of a .jsonl, .json or .parquet file (the first two also .gz) in file order.

    A .json file holds a list of objects, or one object. Row numbers count from 1 (lines in .jsonl). Broken JSON, values that are
    not objects, NaN and infinity, lone surrogates, rows over 10 MB and a cut gzip stream come out as Rejects.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        return _read_lines(path)
    if name.endswith(".json"):
        return _read_document(path)
    if name.endswith(".parquet"):
        return _read_parquet(path)
    raise BadInput(f"{path}: unknown file type; known: {' '.join(ROW_SUFFIXES)}")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _read_lines(path: Path) -> Iterator[Raw | Reject]:
    number = 0
    try:
        with _open(path) as file:
            while line := file.readline(MAX_ROW_BYTES + 1):
                number += 1
                if len(line) > MAX_ROW_BYTES:
                    yield Reject(str(path), number, "", f"longer than {MAX_ROW_BYTES:,} bytes")
                    while line and not line.endswith(b"\n"):
                        line = file.readline(MAX_ROW_BYTES)
                elif line.strip():
                    yield _parse_row(str(path), number, line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Reject(str(path), number + 1, "", f"compressed stream is cut or damaged: {error}")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_document(path: Path) -> Iterator[Raw | Reject]:
    try:
        value = _loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        yield Reject(str(path), 1, "", f"not valid JSON: {error}")
        return
    rows = cast(list[Any], value) if isinstance(value, list) else [value]
    for number, row in enumerate(rows, 1):
        yield _check_row(str(path), number, row)


def _read_parquet(path: Path) -> Iterator[Raw | Reject]:
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield _check_row(str(path), number, row)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        message = str(error).partition("\n")[0]
        raise BadInput(f"{path}: row {number + 1}: not a readable Parquet file: {message}") from error


def _parse_row(file: str, number: int, line: bytes) -> Raw | Reject:
    try:
        return _check_row(file, number, _loads(line))
    except (ValueError, RecursionError) as error:
        return Reject(file, number, "", f"not valid JSON: {error}")


def _loads(data: bytes) -> Any:  # Any: whatever the file holds; the caller checks it
    return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check_row(file: str, number: int, row: Any) -> Raw | Reject:
    if not isinstance(row, dict):
        return Reject(file, number, "", f"expected an object, got {type(row).__name__}")
    for field, value in cast(dict[str, Any], row).items():
        problem = _bad_value(value)
        if problem:
            return Reject(file, number, field, problem)
    return Raw(file, number, cast(dict[str, Any], row))


def _bad_value(value: Any) -> str | None:
    if isinstance(value, str):
        if len(value) > MAX_ROW_BYTES:
            return f"text longer than {MAX_ROW_BYTES:,} characters"
        return None if _encodes(value) else "text holds a lone surrogate"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    if isinstance(value, dict):
        items = cast(dict[str, Any], value)
        return next((bad for each in (*items.keys(), *items.values()) if (bad := _bad_value(each))), None)
    if isinstance(value, list):
        return next((bad for each in cast(list[Any], value) if (bad := _bad_value(each))), None)
    return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- fields of a raw row: a wrong one raises BadRow, which becomes a counted reject ---


def text_field(raw: Mapping[str, Any], name: str, empty: bool = False) -> str:
    """A text field; missing, not text, or blank (unless `empty`) raises BadRow."""
    value = _field(raw, name)
    if not isinstance(value, str):
        raise BadRow(name, f"expected text, got {type(value).__name__}")
    if not empty and not value.strip():
        raise BadRow(name, "empty text")
    return value


def number_field(raw: Mapping[str, Any], name: str) -> float:
    """A finite number; booleans and numbers in quotes raise BadRow."""
    value = _field(raw, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow(name, f"expected a number, got {type(value).__name__}")
    if not math.isfinite(value):
        raise BadRow(name, "not a finite number")
    return float(value)


def list_field(raw: Mapping[str, Any], name: str, empty: bool = False) -> list[Any]:
    """A list, not empty unless `empty`."""
    value = _field(raw, name)
    if not isinstance(value, list):
        raise BadRow(name, f"expected a list, got {type(value).__name__}")
    if not value and not empty:
        raise BadRow(name, "empty list")
    return cast(list[Any], value)


def object_field(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A nested object."""
    value = _field(raw, name)
    if not isinstance(value, dict):
        raise BadRow(name, f"expected an object, got {type(value).__name__}")
    return cast(dict[str, Any], value)


def _field(raw: Mapping[str, Any], name: str) -> Any:
    if name not in raw:
        raise BadRow(name, "missing")
    return raw[name]
