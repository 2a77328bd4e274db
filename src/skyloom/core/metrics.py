"""Measured numbers: estimates with intervals, evaluation files and the training log.

Every number names its sample size and how its interval was made; nothing here accepts NaN. Three files make an
evaluation: results.json (estimates), tables.json and plots.json; the report reads them back and knows nothing else of a
system.

Flow  train writes metrics.jsonl through MetricLog; evaluate returns an Evaluation and writes it; report reads both
Run   write_evaluation(folder, Evaluation(headline=Estimate.of("accuracy", wilson(71, 100)), baselines=...), tables)
"""

import errno
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from skyloom.core import store
from skyloom.core.errors import BadInput, BadRow, FailedWork
from skyloom.core.records import Raw
from skyloom.core.stats import Interval

RESULTS: str = "results.json"
TABLES: str = "tables.json"
PLOTS: str = "plots.json"
METRICS: str = "metrics.jsonl"

Cell: TypeAlias = str | int | float | bool | Interval | None
"""One cell of a table; an Interval is stored as an object and shown as value, bounds and n."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A named number with its two-sided interval. Raises ValueError unless low <= value <= high, all finite, n >= 1."""

    name: str
    value: float
    low: float
    high: float
    n: int
    """Independent observations behind the interval: items, games, clusters."""
    method: str
    """How the interval was made, e.g. `Wilson`."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(x) for x in (self.value, self.low, self.high)):
            raise ValueError(f"estimate {self.name!r}: not finite: {self.value}, {self.low}, {self.high}")
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"estimate {self.name!r}: {self.value} lies outside its interval [{self.low}, {self.high}]"
            )
        if self.n < 1:
            raise ValueError(f"estimate {self.name!r}: n must be at least 1, got {self.n}")

    @classmethod
    def of(cls, name: str, interval: Interval) -> "Estimate":
        """Name an interval of `core.stats`; numpy scalars become plain numbers."""
        value, low, high = float(interval.value), float(interval.low), float(interval.high)
        return cls(name=name, value=value, low=low, high=high, n=int(interval.n), method=interval.method)

    @property
    def interval(self) -> Interval:
        """The same numbers without the name."""
        return Interval(self.value, self.low, self.high, self.n, self.method)

    def to_json(self) -> dict[str, str | float | int]:
        """The object that results.json holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Estimate":  # Any: JSON, checked field by field
        """Read one back; raises BadRow naming the field."""
        name, method = store.text_field(raw, "name"), store.text_field(raw, "method")
        value, low, high, n = (store.number_field(raw, key) for key in ("value", "low", "high", "n"))
        try:
            return cls(name=name, value=value, low=low, high=high, n=int(n), method=method)
        except ValueError as error:
            raise BadRow("value", str(error)) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What a trained system scored and what it must beat. Higher is better in the headline and the baselines."""

    headline: Estimate
    baselines: tuple[Estimate, ...]
    """Null baselines in the headline's unit: chance, a surface shortcut, the untrained model."""
    others: tuple[Estimate, ...] = ()
    """Further numbers in any unit."""

    @property
    def best_null(self) -> Estimate | None:
        """The strongest baseline; None where none was measured."""
        return max(self.baselines, key=lambda baseline: baseline.value, default=None)

    @property
    def beats_null(self) -> bool:
        """Whether the headline's lower bound exceeds the best baseline; False where there is no baseline to beat."""
        return self.best_null is not None and self.headline.low > self.best_null.value

    def to_json(self) -> dict[str, Any]:  # Any: nested JSON
        """The object that results.json holds."""
        rest = {"baselines": [each.to_json() for each in self.baselines], "others": [e.to_json() for e in self.others]}
        return {"headline": self.headline.to_json(), **rest}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Evaluation":  # Any: JSON, checked field by field
        """Read one back; raises BadRow naming the field."""
        headline = Estimate.from_json(store.object_field(raw, "headline"))
        baselines, others = (_each(raw, key, Estimate.from_json) for key in ("baselines", "others"))
        return cls(headline=headline, baselines=baselines, others=others)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of the report; ValueError where a row's length differs from the columns' or a number is not finite."""

    title: str
    note: str
    """What a reader must know to read it: units, n, what a row is."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: row {i} has {len(row)} cells for {len(self.columns)} columns")
            if any(isinstance(cell, float) and not math.isfinite(cell) for cell in row):
                raise ValueError(
                    f"table {self.title!r}: row {i} holds a number that is not finite; use None for unknown"
                )

    def to_json(self) -> dict[str, Any]:  # Any: nested JSON
        """The object that tables.json holds."""
        rows = [[cell._asdict() if isinstance(cell, Interval) else cell for cell in row] for row in self.rows]
        return {"title": self.title, "note": self.note, "columns": list(self.columns), "rows": rows}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Table":  # Any: JSON, checked field by field
        """Read one back; raises BadRow naming the field."""
        title, note = store.text_field(raw, "title"), store.text_field(raw, "note", empty=True)
        columns = tuple(str(column) for column in store.list_field(raw, "columns"))
        rows = tuple(_row(row) for row in store.list_field(raw, "rows", empty=True))
        try:
            return cls(title=title, note=note, columns=columns, rows=rows)
        except ValueError as error:
            raise BadRow("rows", str(error)) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line of a plot, with an optional interval at each point; ValueError for unequal lengths, NaN or y outside the bounds."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    dashed: bool = False
    """Drawn dashed: beyond what was measured."""

    def __post_init__(self) -> None:
        columns = [column for column in (self.x, self.y, self.low, self.high) if column is not None]
        if len({len(column) for column in columns}) != 1 or (self.low is None) != (self.high is None):
            raise ValueError(f"series {self.name!r}: x, y and, where given, both low and high need one length")
        if not all(math.isfinite(value) for column in columns for value in column):
            raise ValueError(f"series {self.name!r}: holds a number that is not finite")
        bounds = zip(self.low or self.y, self.y, self.high or self.y, strict=True)
        if not all(low <= value <= high for low, value, high in bounds):
            raise ValueError(f"series {self.name!r}: a value lies outside its interval")

    def to_json(self) -> dict[str, Any]:  # Any: nested JSON
        """The object that plots.json holds; bounds are left out where there are none."""
        return {key: value for key, value in asdict(self).items() if value is not None and value is not False}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Series":  # Any: JSON, checked field by field
        """Read one back; raises BadRow naming the field."""
        x, y = _numbers(raw, "x"), _numbers(raw, "y")
        low, high = (_numbers(raw, key) if raw.get(key) is not None else None for key in ("low", "high"))
        try:
            dashed = raw.get("dashed") is True
            return cls(name=store.text_field(raw, "name"), x=x, y=y, low=low, high=high, dashed=dashed)
        except ValueError as error:
            raise BadRow("series", str(error)) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A line plot of the report."""

    title: str
    x: str
    """Label of the horizontal axis, with its unit."""
    y: str
    """Label of the vertical axis, with its unit."""
    series: tuple[Series, ...]

    def to_json(self) -> dict[str, Any]:  # Any: nested JSON
        """The object that plots.json holds."""
        series = [each.to_json() for each in self.series]
        return {"title": self.title, "x": self.x, "y": self.y, "series": series}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Plot":  # Any: JSON, checked field by field
        """Read one back; raises BadRow naming the field."""
        title, x, y = (store.text_field(raw, key) for key in ("title", "x", "y"))
        return cls(title=title, x=x, y=y, series=_each(raw, "series", Series.from_json))


def write_evaluation(
    folder: Path, evaluation: Evaluation, tables: Sequence[Table] = (), plots: Sequence[Plot] = ()
) -> None:
    """results.json, tables.json and plots.json of one evaluation."""
    store.write_json(folder / TABLES, [table.to_json() for table in tables])
    store.write_json(folder / PLOTS, [plot.to_json() for plot in plots])
    store.write_json(folder / RESULTS, evaluation.to_json())


def read_evaluation(folder: Path) -> Evaluation:
    """results.json of a folder; BadInput names file, row and field."""
    found = read_objects(folder / RESULTS, Evaluation.from_json)
    if len(found) != 1:
        raise BadInput(f"{folder / RESULTS}: holds {len(found)} objects, expected one; run evaluate again")
    return found[0]


def read_tables(folder: Path) -> tuple[Table, ...]:
    """tables.json of a folder; BadInput names file, row and field."""
    return read_objects(folder / TABLES, Table.from_json)


def read_plots(folder: Path) -> tuple[Plot, ...]:
    """plots.json of a folder; BadInput names file, row and field."""
    return read_objects(folder / PLOTS, Plot.from_json)


def read_objects(path: Path, parse: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    """Every object of a JSON file, parsed; BadInput names file, row and field.

    `parse` raises BadRow for an object it cannot use.
    """
    found: list[T] = []
    for each in store.read_json_rows(path):
        if not isinstance(each, Raw):
            raise BadInput(f"{path}: row {each.row}: {each.field or 'file'}: {each.reason}; run that step again")
        try:
            found.append(parse(each.data))
        except BadRow as error:
            raise BadInput(f"{path}: row {each.row}: {error}; run that step again") from error
    return tuple(found)


class MetricRow(NamedTuple):
    """One line of metrics.jsonl."""

    step: int
    values: dict[str, float]


class MetricLog:
    """Append-only metrics.jsonl that survives a kill: one line a step, one write a line.

    A torn last line, which a kill inside a write leaves, is cut off when the log is opened. On resuming from a
    checkpoint of step S call truncate_after(S): the steps redone then appear once.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the log; BadInput where a whole line is not a metrics row, or steps do not rise."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            store.write_bytes(path, whole)
        rows = read_metrics(path) if whole else ()
        self._last = rows[-1].step if rows else -1

    def truncate_after(self, step: int) -> None:
        """Forget every row later than `step`."""
        if self._last <= step:
            return
        kept = [row for row in read_metrics(self.path) if row.step <= step]
        store.write_bytes(self.path, b"".join(_line(row.step, row.values) for row in kept))
        self._last = kept[-1].step if kept else -1

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row; ValueError where the step does not rise, FailedWork for NaN or infinity (divergence)."""
        if step <= self._last:
            raise ValueError(f"{self.path}: step {step} after step {self._last}; call truncate_after on resume")
        plain = {name: float(value) for name, value in values.items()}
        for name, value in plain.items():
            if not math.isfinite(value):
                raise FailedWork(
                    f"{self.path}: {name} is {value} at step {step}: training diverged; lower the learning rate"
                )
        try:
            line = _line(step, plain)
            with self.path.open("ab", buffering=0) as file:
                if file.write(line) != len(line):  # a full disk may take half a line without an error
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise FailedWork(f"cannot write {self.path}: {error.strerror or error}") from error
        self._last = step


def read_metrics(path: Path) -> tuple[MetricRow, ...]:
    """Rows of metrics.jsonl in step order; a torn last line is left out, any other bad line is a BadInput."""
    data = store.read_bytes(path)
    rows: list[MetricRow] = []
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
        try:
            row = _metric_row(json.loads(line))
        except (ValueError, BadRow) as error:
            raise BadInput(f"{path}: row {number}: {error}; delete the line or train again") from error
        if rows and row.step <= rows[-1].step:
            raise BadInput(f"{path}: row {number}: step: {row.step} after {rows[-1].step}; train again")
        rows.append(row)
    return tuple(rows)


def _metric_row(raw: Any) -> MetricRow:  # Any: whatever the line holds
    if not isinstance(raw, dict):
        raise BadRow("", f"expected an object, got {type(raw).__name__}")
    fields = cast(dict[str, Any], raw)
    values = {name: store.number_field(fields, name) for name in fields}
    return MetricRow(int(store.number_field(fields, "step")), {k: v for k, v in values.items() if k != "step"})


def _line(step: int, values: Mapping[str, float]) -> bytes:
    return json.dumps({"step": step, **values}, allow_nan=False).encode() + b"\n"


def _each(raw: Mapping[str, Any], name: str, parse: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    """A list of objects, possibly empty."""
    return tuple(parse(store.object_field({name: item}, name)) for item in store.list_field(raw, name, empty=True))


def _numbers(raw: Mapping[str, Any], name: str) -> tuple[float, ...]:
    return tuple(store.number_field({name: item}, name) for item in store.list_field(raw, name, empty=True))


def _row(row: Any) -> tuple[Cell, ...]:  # Any: whatever the file holds
    cells = store.list_field({"rows": row}, "rows", empty=True)
    return tuple(_cell(cell) for cell in cells)


def _cell(cell: Any) -> Cell:  # Any: whatever the file holds
    if isinstance(cell, dict):
        return Estimate.from_json({"name": "cell", **cast(dict[str, Any], cell)}).interval
    if cell is None or isinstance(cell, str | bool | int | float):
        return cell
    raise BadRow("rows", f"a cell is text, a number, true, false, null or an interval, got {type(cell).__name__}")
