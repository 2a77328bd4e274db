"""Hashed n-gram index: which texts repeat n words in a row of a benchmark item, and where.

Formula  hit when n words in a row of a query are n words in a row of an item. An item of m < n words can never share n
         words, so it is sought whole: its m words in a row inside the query if m >= contain, else as the whole query
Source   n-gram overlap as in GPT-3 (arXiv 2005.14165, app. C, n = 13), Llemma (2310.10631, n = 30), Skywork-Reward (any
         common 7-gram); the rule for short items is ours: half of MATH has under 30 words
Flow     evals export an index (hashes, no text) -> [curate: contamination annotators query it] -> deciders
Run      NgramIndex.build(items, Rule(n=13)).query(texts)
Limits   n words in a row of which two thirds or more are signs or masked numbers (a ruled line, a bare formula) are not sought; nor are
         paraphrases. 64-bit hashes: 1e9 query words against 1e6 item n-grams give 5e-5 false hits expected
Shapes   I items, G n-grams, T texts of a query, H hits
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from skyloom.core import store
from skyloom.core.errors import BadInput
from skyloom.core.text.buffers import Texts
from skyloom.core.text.ngram_table import KINDS, Kind, Table, table_of
from skyloom.core.text.normal import spans
from skyloom.core.text.rolling import Batch, window_hashes

VERSION = 2
SIGNS = "+ * / = < > ^ % -"  # words of formulas, and what ruled lines and closing tags are made of
SPOKEN = (
    3  # an n-gram counts when more than one word in so many is no sign: every table's ruled line equals every other's
)
BATCH = 1024  # texts whose words stand in memory at once
Columns = Mapping[str, NDArray[Any]]  # Any: bytes, integers and hashes side by side
T = TypeVar("T")
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
HITS: dict[str, pl.DataType] = {
    "query": pl.UInt32(),  # position of the text in the query
    "item": pl.String(),  # name of the benchmark item
    "rule": pl.String(),  # "ngram"; "contained": a short item inside the query; "whole": the query is the short item
    "start": pl.UInt32(),  # characters [start, stop) of the query are the evidence
    "stop": pl.UInt32(),
    "words": pl.UInt32(),  # length of the evidence; each of its words belongs to an n-gram that the item shares
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What counts as a hit."""

    n: int = 13
    """Words in a row that a query must share with an item."""
    contain: int = 6
    """Shortest item, in words, looked for inside a longer query; a shorter one hits an equal query only (ours)."""
    masked: bool = False
    """Every number counts as the same word: finds copies with other numbers."""

    def __post_init__(self) -> None:
        if self.n < 1 or self.contain < 1:
            raise BadInput(f"n-gram rule: n and contain must be at least 1, got {self.n} and {self.contain}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class NgramIndex:
    """The n-grams of a set of items, as hashes."""

    rule: Rule
    names_I: tuple[str, ...]
    tables: tuple[Table, ...]

    @classmethod
    def build(cls, texts: Sequence[str], rule: Rule, names: Sequence[str] | None = None) -> Self:
        """Index the items; hits report their `names` (default: positions). An item without a word is never hit."""
        names_I = tuple(names) if names is not None else tuple(map(str, range(len(texts))))
        if len(names_I) != len(texts):
            raise BadInput(f"n-gram index: {len(texts)} items but {len(names_I)} names")
        return cls(rule=rule, names_I=names_I, tables=tuple(_tables(Batch.of(texts, masked=rule.masked), rule)))

    def query(self, texts: Texts) -> pl.DataFrame:
        """All hits with columns HITS, sorted by query, start, length and position of the item in the index. A column of texts
        is read where it stands; a null is an empty text."""
        parts = [self._query(texts[start : start + BATCH], start) for start in range(0, len(texts), BATCH)]
        return pl.concat([pl.DataFrame(schema=HITS), *parts])

    def content_hash(self) -> str:
        """32 hex digits of rule, names and hashes: equal content, equal digits, on every machine."""
        digest = hashlib.blake2b(digest_size=16)
        for name, column in self.columns().items():
            digest.update(f"{name} {column.dtype.str} {column.shape}\n".encode())
            digest.update(column.tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write an .npz without pickle; its bytes depend on the content alone."""
        save_columns(path, self.columns())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises BadInput for a missing, damaged or outdated file."""
        return load_columns(path, cls.from_columns, f"an n-gram index of version {VERSION}")

    def _query(self, texts: Texts, offset: int) -> pl.DataFrame:
        batch = Batch.of(texts, masked=self.rule.masked)
        first_T = batch.first_T
        found: list[tuple[int, int, int, int, str]] = [
            (text, first - int(first_T[text]), stop - first, item, table.kind)
            for table in self.tables
            for text, item, first, stop in zip(*map(_integers, table.matches(batch)), strict=True)
        ]
        found.sort()
        cut = {text: spans(texts[text]) for text in {match[0] for match in found}}  # the others are not cut again
        rows = [
            (offset + text, self.names_I[item], kind, cut[text][first].start, cut[text][first + count - 1].stop, count)
            for text, first, count, item, kind in found
        ]
        return pl.DataFrame(rows, schema=HITS, orient="row")

    def columns(self) -> Columns:
        """What `save` writes, for files that hold more than one index."""
        head = json.dumps({"version": VERSION, **asdict(self.rule)}, sort_keys=True)
        shape = [(KINDS.index(table.kind), table.length, len(table.hash_G)) for table in self.tables]
        return {
            "head": np.frombuffer(head.encode(), np.uint8),
            "names": np.frombuffer(json.dumps(self.names_I).encode(), np.uint8),
            "tables": np.asarray(shape, "<i8").reshape(-1, 3),
            "hash": np.concatenate([np.empty(0, "<u8"), *(table.hash_G for table in self.tables)]).astype("<u8"),
            "item": np.concatenate([np.empty(0, "<u4"), *(table.item_G for table in self.tables)]).astype("<u4"),
        }

    @classmethod
    def from_columns(cls, columns: Columns) -> Self:
        """The index of `columns`; raises one of DAMAGE where they do not fit one another."""
        head = json.loads(columns["head"].tobytes())
        if head.pop("version") != VERSION:
            raise ValueError("another version")
        names_I = tuple(map(str, json.loads(columns["names"].tobytes())))
        counts = columns["tables"][:, 2]
        ends = np.cumsum(counts)
        if counts.min(initial=0) < 0 or not counts.sum() == len(columns["hash"]) == len(columns["item"]):
            raise ValueError("tables do not fit the hashes")
        if columns["item"].max(initial=0) >= max(len(names_I), 1):
            raise ValueError("an item without a name")
        tables = [
            table_of(KINDS[kind], length, columns["hash"][end - count : end], columns["item"][end - count : end])
            for (kind, length, count), end in zip(columns["tables"].tolist(), ends.tolist(), strict=True)
        ]
        return cls(rule=Rule(**head), names_I=names_I, tables=tuple(tables))


def save_columns(path: Path, columns: Columns) -> None:
    """Write an .npz without pickle; its bytes depend on the content alone."""
    file = io.BytesIO()
    np.savez_compressed(file, **columns)  # pyright: ignore[reportArgumentType] - its stub takes **kwds for a flag
    store.write_bytes(path, file.getvalue())


def load_columns(path: Path, make: Callable[[Columns], T], what: str) -> T:
    """`make` of what `save_columns` wrote; raises BadInput for a missing, damaged or other file."""
    try:
        with np.load(io.BytesIO(store.read_bytes(path)), allow_pickle=False) as file:
            return make({name: file[name] for name in file.files})
    except DAMAGE as error:
        raise BadInput(f"{path}: not {what} ({error}); build it again") from error


def _tables(batch: Batch, rule: Rule) -> Iterator[Table]:
    """The table of n-grams, then one for each length of the items that are shorter than n."""
    short_I = batch.count_T[(batch.count_T > 0) & (batch.count_T < rule.n)]
    lengths: list[int] = np.unique(short_I).tolist()
    silent = Batch.of(
        [f"{SIGNS} 0" if rule.masked else SIGNS], masked=rule.masked
    )  # a masked number says as little as a sign
    spoken_W1 = np.append(0, np.cumsum(~np.isin(batch.hash_W, silent.hash_W)))
    for length in [rule.n, *lengths]:
        chosen_T = batch.count_T >= rule.n if length == rule.n else batch.count_T == length
        hash_K = window_hashes(batch.hash_W, length)
        text_K = batch.text_W[: len(hash_K)]
        keep_K = (text_K == batch.text_W[len(batch.text_W) - len(hash_K) :]) & chosen_T[text_K]
        kind: Kind = "ngram" if length == rule.n else "contained" if length >= rule.contain else "whole"
        if kind == "ngram":
            keep_K &= (spoken_W1[length:] - spoken_W1[: len(hash_K)]) * SPOKEN > length
        yield table_of(kind, length, hash_K[keep_K], text_K[keep_K].astype(np.uint32))


def _integers(column_M: NDArray[np.int64]) -> list[int]:
    return column_M.tolist()
