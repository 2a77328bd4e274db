"""Annotate: expensive facts about rows, one column file per annotator, cached by content.

A *map* annotator looks at a row alone: its result is cached per input part, so editing one row recomputes one part. A *fit* annotator
looks at a set (duplicate clusters, learnt offsets): its result is cached under the hash of the set that it saw, which is the rows
still alive where it stands in the chain, as the deciders before it flipped and repaired them; the other rows get nulls. Cache keys hold
the plug-in's fingerprint, the content of the files it reads, the content of the part, and the keys of the annotators whose columns it
reads: never the git commit.

Flow  collect -> [curate: ANNOTATE -> decide -> materialise] -> train -> evaluate -> report
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from skyloom.core import registry, store
from skyloom.core.config import PluginConfig, fingerprint
from skyloom.core.errors import FailedWork
from skyloom.core.execute import ExecuteConfig, run_all
from skyloom.core.ledger.decide import Standing
from skyloom.core.run import content_of


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorConfig(PluginConfig):
    """Base config of an annotator (`<system>/annotate/x.py`): KIND, READS, WRITES, and `annotate` (map) or `fit`."""


Mend = Callable[[pl.DataFrame], pl.DataFrame]
"""Turns kept rows into what training reads: gets record columns + action, applies flips and repairs, keeps the height."""
KEYS: tuple[str, ...] = ("row", "source", "licence")
"""Columns of 00-keys.parquet."""


class Column(NamedTuple):
    """Where one annotator's columns stand: a file aligned with the key file row by row, and the cache key of each part."""

    file: Path
    part_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _PartTask:
    config: AnnotatorConfig
    part: Path
    upstream: tuple[Path, ...]
    """Cached column files of the same part, made by earlier annotators."""
    target: Path


class Annotations:
    """The columns of one ledger as they grow: a key file and one column file an annotator, all in the same row order."""

    def __init__(self, parts: Sequence[Path], part_hashes: Sequence[str], out: Path, cache: Path) -> None:
        self.parts, self.part_hashes = tuple(parts), tuple(part_hashes)
        self._out, self._cache = out, cache / "annotations"
        self._owner: dict[str, str] = {}  # column -> annotator
        self._columns: dict[str, Column] = {}  # annotator -> its file
        self._heights: tuple[int, ...] = ()
        self.keys: Path = self._write_keys()

    @property
    def height(self) -> int:
        """Number of rows."""
        return sum(self._heights)

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """Ledger columns by name, in row order: "row", "source", "licence" or an annotator's; only these are loaded."""
        owners = {name: self.keys if name in KEYS else self._columns[self._owner_of(name)].file for name in names}
        return read_columns(owners)

    def add(
        self, config: AnnotatorConfig, standing: Standing, execute: ExecuteConfig, mend: Mend | None = None
    ) -> None:
        """Run one annotator, or take its columns from the cache.

        A map sees the rows as they were collected; a fit sees them as they stand: the living ones, flipped and repaired by `mend`.
        """
        module = registry.module_of(config)
        name = registry.plugin_of(config).name
        record_reads = [each for each in module.READS if "." not in each]
        column_reads = [each for each in module.READS if "." in each]
        upstream = sorted({self._owner_of(each) for each in column_reads})
        keyed = {"config": fingerprint(config)}
        keyed |= {f"input.{k}": content_of(path) for k, path in enumerate(inputs_of(config))}
        if module.KIND == "map":
            column = self._add_map(config, keyed, upstream, execute)
        else:
            column = self._add_fit(config, module, keyed, record_reads, column_reads, standing, mend)
        self._columns[name] = column
        for written in module.WRITES:
            if written in self._owner:
                raise FailedWork(
                    f"annotator {name}: column {written!r} stands already, written by {self._owner[written]}"
                )
            self._owner[written] = name

    def _add_map(
        self, config: AnnotatorConfig, keyed: Mapping[str, str], upstream: Sequence[str], execute: ExecuteConfig
    ) -> Column:
        name = registry.plugin_of(config).name
        folder = self._cache / str(registry.plugin_of(config)).replace("/", ".")
        keys: list[str] = []
        tasks: list[_PartTask] = []
        for k, (part, part_hash) in enumerate(zip(self.parts, self.part_hashes, strict=True)):
            above = {f"upstream.{owner}": self._columns[owner].part_keys[k] for owner in upstream}
            key = store.digest({**keyed, **above, "part": part_hash})
            above_files = tuple(self._part_file(owner, k) for owner in upstream)
            keys.append(key)
            tasks.append(_PartTask(config, part, above_files, folder / f"{key}.parquet"))
        missing = [task for task in tasks if not task.target.exists()]
        for _ in run_all(execute, _annotate_part, missing, f"annotating {name}"):
            pass
        return self._join(name, [task.target for task in tasks], keys)

    def _add_fit(
        self,
        config: AnnotatorConfig,
        module: ModuleType,
        keyed: Mapping[str, str],
        record_reads: Sequence[str],
        column_reads: Sequence[str],
        standing: Standing,
        mend: Mend | None,
    ) -> Column:
        plugin = registry.plugin_of(config)
        parts = {f"part.{k}": part_hash for k, part_hash in enumerate(self.part_hashes)}
        above = {
            f"upstream.{own}": store.digest(_numbered(self._columns[own].part_keys))
            for own in map(self._owner_of, column_reads)
        }
        seen = {"alive": _hash_mask(standing.alive_N)}
        for name, changed_N in (("flipped", standing.flipped_N), ("repaired", standing.repaired_N)):
            if changed_N.any():
                seen[name] = _hash_mask(changed_N)
        key = store.digest({**keyed, **parts, **above, **seen})
        target = self._cache / str(plugin).replace("/", ".") / f"{key}.parquet"
        if not target.exists():
            records = [self._standing_records(record_reads, standing, mend)] if record_reads else []
            facts = [self.read(column_reads).filter(pl.Series(standing.alive_N))] if column_reads else []
            whole = pl.concat([*records, *facts], how="horizontal")
            written = _checked(module.fit(whole, config), module, int(standing.alive_N.sum()), plugin.name)
            where = pl.DataFrame({"at": np.flatnonzero(standing.alive_N)}).hstack(written)
            order = pl.DataFrame({"at": np.arange(self.height)})
            store.write_parquet(target, order.join(where, on="at", how="left", maintain_order="left").drop("at"))
        file = self._out / f"{len(self._columns) + 1:02d}-{plugin.name}.parquet"
        store.write_bytes(file, target.read_bytes())
        return Column(file, tuple(store.digest({"fit": key, "part": str(k)}) for k in range(len(self.parts))))

    def _standing_records(self, names: Sequence[str], standing: Standing, mend: Mend | None) -> pl.DataFrame:
        """Record columns of the living rows, mended, part by part: text that is not asked for is not read."""
        action = standing.action()
        frames: list[pl.DataFrame] = []
        start = 0
        for part, height in zip(self.parts, self._heights, strict=True):
            here = slice(start, start + height)
            start += height
            living = pl.Series(standing.alive_N[here])
            changed = mend is not None and bool((standing.flipped_N[here] | standing.repaired_N[here]).any())
            frame = pl.read_parquet(part, columns=None if changed else list(names)).filter(living)
            if changed and mend is not None:
                frame = mend(frame.with_columns(action[here].filter(living).alias("action")))
            frames.append(frame.select(names))
        return pl.concat(frames, how="vertical_relaxed")

    def _part_file(self, owner: str, part: int) -> Path:
        """One part's slice of an earlier annotator's columns, as a file that a worker can read."""
        column = self._columns[owner]
        sliced = self._cache / "slices" / f"{column.part_keys[part]}.parquet"
        if not sliced.exists():
            start = sum(self._heights[:part])
            frame = pl.scan_parquet(column.file).slice(start, self._heights[part]).collect()
            store.write_parquet(sliced, frame)
        return sliced

    def _join(self, name: str, files: Sequence[Path], keys: Sequence[str]) -> Column:
        file = self._out / f"{len(self._columns) + 1:02d}-{name}.parquet"
        store.write_parquet(file, pl.concat([pl.read_parquet(each) for each in files], how="vertical_relaxed"))
        return Column(file, tuple(keys))

    def _write_keys(self) -> Path:
        frames = [pl.read_parquet(part, columns=["row", "source", "licence"]) for part in self.parts]
        self._heights = tuple(frame.height for frame in frames)
        whole = pl.concat(frames).with_columns(pl.col("source", "licence").cast(pl.Categorical))
        file = self._out / "00-keys.parquet"
        store.write_parquet(file, whole)
        return file

    def _owner_of(self, column: str) -> str:
        if column not in self._owner:
            known = ", ".join(sorted(self._owner)) or "none"
            raise FailedWork(f"column {column!r} is read before an annotator wrote it; written so far: {known}")
        return self._owner[column]


def read_columns(owners: Mapping[str, Path]) -> pl.DataFrame:
    """Columns, each from its file; the files share one row order."""
    by_file: dict[Path, list[str]] = {}
    for name, file in owners.items():
        by_file.setdefault(file, []).append(name)
    frames = [pl.read_parquet(file, columns=names) for file, names in by_file.items()]
    return pl.concat(frames, how="horizontal") if len(frames) > 1 else frames[0]


def stored_owners(folder: Path) -> dict[str, Path]:
    """Column -> file, for the columns folder of a finished curation."""
    return {name: file for file in sorted(folder.glob("*.parquet")) for name in pl.read_parquet_schema(file)}


def inputs_of(config: PluginConfig) -> tuple[Path, ...]:
    """Files whose content enters a plug-in's cache key, such as a benchmark index."""
    module = registry.module_of(config)
    return tuple(module.inputs(config)) if hasattr(module, "inputs") else ()


def _annotate_part(task: _PartTask) -> None:
    module = registry.module_of(task.config)
    name = registry.plugin_of(task.config).name
    record_reads = [each for each in module.READS if "." not in each]
    frames = [pl.read_parquet(task.part, columns=record_reads)] if record_reads else []
    for file in task.upstream:
        have = set(pl.read_parquet_schema(file))
        frames.append(pl.read_parquet(file, columns=[each for each in module.READS if each in have]))
    rows = pl.concat(frames, how="horizontal")
    store.write_parquet(task.target, _checked(module.annotate(rows, task.config), module, rows.height, name))


def _checked(written: pl.DataFrame, module: ModuleType, height: int, name: str) -> pl.DataFrame:
    """Hold an annotator to its contract: the declared columns and types, one value a row."""
    declared: dict[str, Any] = dict(module.WRITES)  # Any: polars accepts a type or an instance
    if written.height != height or set(written.columns) != set(declared):
        raise FailedWork(
            f"annotator {name}: wrote {written.height} x {written.columns}, declared {height} x {list(declared)}"
        )
    return written.select(pl.col(column).cast(kind) for column, kind in declared.items())


def _hash_mask(alive_N: np.ndarray) -> str:
    return store.digest({"mask": np.packbits(alive_N).tobytes().hex()})


def _numbered(keys: Sequence[str]) -> dict[str, str]:
    return {str(k): key for k, key in enumerate(keys)}
