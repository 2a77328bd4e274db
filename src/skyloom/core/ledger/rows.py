"""Rows come in: sources are read shard by shard into Parquet parts, with keys, content hashes, licences and rejects.

Layout   rows/<label>-<shard>-<part>.parquet    record columns + row, content, source, licence
         truth/<same name>.parquet              what a world planted; annotators and deciders never read it
         edges/<same name>.parquet              child, parent: which row was made from which
         sources.json  rejects.jsonl            counts by reason; every rejected row by file, row and field
Flow     [collect] -> curate -> train -> evaluate -> report
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from skyloom.core import registry, store
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.execute import ExecuteConfig, run_all
from skyloom.core.records import Reject, SourceConfig, content_id, row_key, schema, source_number, split_key, to_row

PART_ROWS: int = 8192
"""Rows of one Parquet part: the unit in which annotations are cached."""


class SourceReport(NamedTuple):
    """What one source gave; a row of sources.json."""

    label: str
    plugin: str
    number: int
    licence: str
    split: str
    as_train: bool
    rows: int
    rejected: int
    reject_reasons: dict[str, int]
    gated: bool = False
    """Whether its owner hands it out only to those who accept terms."""


@dataclass(frozen=True, slots=True)
class _ShardTask:
    config: SourceConfig
    shard: int
    number: int
    record_type: type
    out: Path


class _ShardResult(NamedTuple):
    rows: int
    rejects: list[Reject]


class RowWriter:
    """Writes the rows of one shard of one source; `close` publishes what is left. Used by collect and by synthesis."""

    def __init__(self, out: Path, record_type: type, label: str, number: int, shard: int, licence: str) -> None:
        self._out, self._label, self._number, self._shard = out, label, number, shard
        self._licence = licence
        self._schema = schema(record_type)
        self._record_type = record_type
        self._rows: list[dict[str, Any]] = []  # Any: column values
        self._truth: list[dict[str, Any]] = []
        self._edges: list[dict[str, int]] = []
        self._part = 0
        self.count = 0

    def add(
        self,
        record: Any,
        parents: Sequence[int] = (),
        truth: Mapping[str, Any] | None = None,
        licence: str = "",
    ) -> int:
        """Append a record of the writer's type, under a licence of its own where the source is a mixed set; returns its row key."""
        if not isinstance(record, self._record_type):
            raise TypeError(f"{self._label}: expected {self._record_type.__name__}, got {type(record).__name__}")
        body = to_row(record)
        row = row_key(self._number, self._shard, self.count)
        keys = {"row": row, "content": content_id(body), "source": self._label, "licence": licence or self._licence}
        self._rows.append({**keys, **body})
        if truth is not None:
            self._truth.append({"row": row, **{f"truth.{name}": value for name, value in truth.items()}})
        self._edges += [{"child": row, "parent": parent} for parent in parents]
        self.count += 1
        if len(self._rows) >= PART_ROWS:
            self._flush()
        return row

    def close(self) -> None:
        """Write what is left; a shard without rows leaves no part."""
        if self._rows:
            self._flush()

    def _flush(self) -> None:
        name = f"{self._label}-{self._shard:05d}-{self._part:05d}.parquet"
        if self._truth:
            store.write_parquet(self._out / "truth" / name, pl.DataFrame(self._truth, infer_schema_length=None))
        if self._edges:
            store.write_parquet(self._out / "edges" / name, pl.DataFrame(self._edges))
        keys = [("row", pa.int64()), ("content", pa.large_binary()), ("source", pa.large_string())]
        fields = [pa.field(name, kind) for name, kind in [*keys, ("licence", pa.large_string())]]
        table = pa.Table.from_pylist(self._rows, schema=pa.schema([*fields, *self._schema]))
        store.write_parquet(self._out / "rows" / name, table)
        self._rows, self._truth, self._edges = [], [], []
        self._part += 1


def collect(
    sources: Sequence[SourceConfig],
    record_type: type,
    out: Path,
    execute: ExecuteConfig | None = None,
    max_reject_share: float = 0.5,
) -> tuple[SourceReport, ...]:
    """Read every source into `out`; finished shards of an interrupted run are kept.

    Raises BadInput for a test split without `as_train`, a label that stands twice, a source without a usable row, or one that loses
    more than `max_reject_share` of its rows. A module's NON_ROWS names the reject reasons that are the set's own form, such as a prompt
    without a response where responses are joined to pairs: they are counted and listed, and do not count as lost.
    """
    reports: list[SourceReport] = []
    rejects: list[Reject] = []
    numbers = number_sources([label_of(config) for config in sources])
    for config in sources:
        _check_split(config)
        label = label_of(config)
        module = registry.module_of(config)
        shards: int = module.shards(config) if hasattr(module, "shards") else 1
        tasks = [_ShardTask(config, shard, numbers[label], record_type, out) for shard in range(shards)]
        results = list(run_all(execute or ExecuteConfig(), _collect_shard, tasks, f"reading {label}"))
        bad = [reject for result in results for reject in result.rejects]
        report = _report(config, module, numbers[label], sum(result.rows for result in results), bad)
        _check_rejects(report, bad, getattr(module, "NON_ROWS", ()), max_reject_share)
        reports.append(report)
        rejects += bad
    write_reports(out, reports, rejects)
    return tuple(reports)


def number_sources(labels: Sequence[str]) -> dict[str, int]:
    """Label -> source number, in order; BadInput where a label stands twice."""
    numbers: dict[str, int] = {}
    for label in labels:
        if label in numbers:
            raise BadInput(f"source label {label!r} stands twice; give one of them another label")
        numbers[label] = source_number(label, numbers)
    return numbers


def write_reports(out: Path, reports: Sequence[SourceReport], rejects: Sequence[Reject]) -> None:
    """sources.json and rejects.jsonl."""
    store.write_jsonl(out / "rejects.jsonl", [reject._asdict() for reject in rejects])
    write_sources(out, reports)


def write_sources(out: Path, reports: Sequence[SourceReport]) -> None:
    """sources.json: what makes the folder one that holds rows."""
    store.write_json(out / "sources.json", {"sources": [report._asdict() for report in reports]})


def label_of(config: SourceConfig) -> str:
    """The source's label: its own, or its plug-in's name."""
    label = config.label or registry.plugin_of(config).name
    if not label or not all(c.isalnum() or c in "_.-" for c in label):
        raise BadInput(f"source label {label!r}: use letters, digits, '_', '.' and '-' only")
    return label


def source_inputs(sources: Sequence[SourceConfig]) -> tuple[Path, ...]:
    """Files that the sources read (their modules' `inputs(config)`), for the collect step's key."""
    modules = [(config, registry.module_of(config)) for config in sources]
    return tuple(path for config, module in modules if hasattr(module, "inputs") for path in module.inputs(config))


def row_parts(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Every part file of one or more collected folders, in the order of the folders and of the files' names."""
    return tuple(path for folder in folders for path in sorted((folder / "rows").glob("*.parquet")))


def read_truth(folders: Sequence[Path]) -> pl.DataFrame | None:
    """What the worlds planted: row and truth.* columns; None where no source is a world."""
    parts = [path for folder in folders for path in sorted((folder / "truth").glob("*.parquet"))]
    return pl.concat([pl.read_parquet(path) for path in parts], how="diagonal_relaxed") if parts else None


def count_rows(folders: Sequence[Path]) -> int:
    """Rows of the folders, from the footers of their parts."""
    return sum(int(pl.scan_parquet(path).select(pl.len()).collect().item()) for path in row_parts(folders))


def read_edges(folders: Sequence[Path]) -> pl.DataFrame:
    """child, parent of every derived row."""
    parts = [path for folder in folders for path in sorted((folder / "edges").glob("*.parquet"))]
    empty = pl.DataFrame(schema={"child": pl.Int64, "parent": pl.Int64})
    return pl.concat([empty, *(pl.read_parquet(path) for path in parts)])


def read_sources(folders: Sequence[Path]) -> tuple[SourceReport, ...]:
    """sources.json of one or more collected folders."""
    found: list[SourceReport] = []
    for folder in folders:
        for raw in store.read_json_rows(folder / "sources.json"):
            if isinstance(raw, Reject):
                raise BadInput(f"{folder / 'sources.json'}: {raw.reason}")
            found += [SourceReport(**row) for row in raw.data["sources"]]
    return tuple(found)


def show_row(row: int, sources: Sequence[SourceReport]) -> str:
    """A row key as people read it: label:shard:ordinal."""
    number, shard, ordinal = split_key(row)
    labels = {source.number: source.label for source in sources}
    return f"{labels.get(number, number)}:{shard}:{ordinal}"


def parse_row(text: str, sources: Sequence[SourceReport]) -> int:
    """label:shard:ordinal, or the plain number, to a row key; BadInput with the known labels otherwise."""
    if text.isdigit():
        return int(text)
    parts = text.split(":")
    numbers = {source.label: source.number for source in sources}
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        raise BadInput(f"row id {text!r}: write label:shard:ordinal, for example {next(iter(numbers), 'world')}:0:17")
    if parts[0] not in numbers:
        raise BadInput(f"row id {text!r}: unknown source {parts[0]!r}; known: {', '.join(numbers)}")
    return row_key(numbers[parts[0]], int(parts[1]), int(parts[2]))


def _collect_shard(task: _ShardTask) -> _ShardResult:
    """Read one shard; a marker file written last says that its parts are whole, so a resumed run skips it."""
    label = label_of(task.config)
    marker = task.out / ".shards" / f"{label}-{task.shard:05d}.json"
    if marker.exists():
        return _read_marker(marker)
    module = registry.module_of(task.config)
    writer = RowWriter(task.out, task.record_type, label, task.number, task.shard, str(module.LICENCE))
    rejects: list[Reject] = []
    truth_of: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = getattr(module, "truth", None)
    licence_of: Callable[[Any], str] | None = getattr(module, "licence", None)
    for raw in module.rows(task.config, task.shard):
        if isinstance(raw, Reject):
            rejects.append(raw)
            continue
        try:
            record = module.to_record(raw.data)
        except BadRow as error:
            rejects.append(Reject(raw.file, raw.row, error.field, error.reason))
            continue
        licence = licence_of(record) if licence_of else ""
        writer.add(record, truth=truth_of(raw.data) if truth_of else None, licence=licence)
    writer.close()
    store.write_json(marker, {"rows": writer.count, "rejects": [list(reject) for reject in rejects]})
    return _ShardResult(writer.count, rejects)


def _read_marker(marker: Path) -> _ShardResult:
    (raw,) = store.read_json_rows(marker)
    if isinstance(raw, Reject):
        raise BadInput(f"{marker}: damaged; delete it and run again")
    return _ShardResult(int(raw.data["rows"]), [Reject(*each) for each in raw.data["rejects"]])


def _report(config: SourceConfig, module: ModuleType, number: int, rows: int, bad: Sequence[Reject]) -> SourceReport:
    reasons = Counter(f"{reject.field}: {reject.reason}" if reject.field else reject.reason for reject in bad)
    return SourceReport(
        label=label_of(config),
        plugin=str(registry.plugin_of(config)),
        number=number,
        licence=str(module.LICENCE),
        split=_split_of(config),
        as_train=config.as_train,
        rows=rows,
        rejected=len(bad),
        reject_reasons=dict(sorted(reasons.items())),
        gated=bool(getattr(module, "GATED", False)),
    )


def _check_rejects(report: SourceReport, rejects: Sequence[Reject], non_rows: Sequence[str], max_share: float) -> None:
    bad = [reject for reject in rejects if reject.reason not in non_rows]
    first = f"; first: {bad[0].file}: row {bad[0].row}: {bad[0].field or 'row'}: {bad[0].reason}" if bad else ""
    if report.rows == 0:
        raise BadInput(f"source {report.label}: no usable row, {report.rejected:,} rejected{first}")
    share = len(bad) / (report.rows + len(bad))
    if share > max_share:
        raise BadInput(f"source {report.label}: {share:.0%} of the rows rejected, more than {max_share:.0%}{first}")


def _split_of(config: SourceConfig) -> str:
    module = registry.module_of(config)
    return str(module.split(config)) if hasattr(module, "split") else "train"


def _check_split(config: SourceConfig) -> None:
    if _split_of(config) == "test" and not config.as_train:
        raise BadInput(
            f"source {label_of(config)} is a test split and is kept out of training; "
            "--as-train uses it on purpose (the manifest says so, and reporting on that benchmark is refused)"
        )


def read_rows(folders: Sequence[Path], rows: Sequence[int]) -> pl.DataFrame:
    """The text of a few rows by key; parts are skipped by their Parquet statistics."""
    frames = [pl.scan_parquet(path).filter(pl.col("row").is_in(list(rows))).collect() for path in row_parts(folders)]
    found = [frame for frame in frames if frame.height]
    return pl.concat(found, how="diagonal_relaxed") if found else pl.DataFrame()
