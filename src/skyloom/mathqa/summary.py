"""Tables about the data of a run: what synthesis gave and cost, and what curation kept of each level.

Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from skyloom.core import store
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.ledger.rows import read_sources, row_parts
from skyloom.core.metrics import Cell, Table
from skyloom.core.records import Reject
from skyloom.core.stats import wilson


class Folders(NamedTuple):
    """The finished steps of a run."""

    seeds: Path
    made: tuple[Path, ...]
    """One a pass whose rows are training data."""
    kept: Path
    model: Path


def tables(folders: Folders) -> tuple[Table, ...]:
    """Synthesis, and the share kept by level; the report itself sets planted against found."""
    return (_synthesis(folders.made), _kept_by_level(folders))


def _synthesis(made: Sequence[Path]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    money, model = 0.0, ""
    for folder in made:
        cost = _object(folder / "teacher.json")
        money, model = money + cost["money"], cost["model"]
        for report in read_sources([folder]):
            spent = cost["by"][report.label]
            tokens = spent["prompt_tokens"] + spent["completion_tokens"]
            reasons = ", ".join(f"{k} {v:,}" for k, v in report.reject_reasons.items())
            a_row = round(tokens / report.rows) if report.rows else "none"
            rows.append((report.label, report.rows, report.rejected, spent["replies"], a_row, reasons))
    return Table(
        title="Synthesis by operator",
        note=f"replies of {model}, ${money:,.2f}; a reply that serves two operators is counted with the first",
        columns=("operator", "rows", "refused", "replies", "tokens a row", "reasons"),
        rows=tuple(rows),
    )


def _kept_by_level(folders: Folders) -> Table:
    levels = pl.concat([pl.read_parquet(path, columns=["row", "level"]) for path in row_parts(folders.made)])
    joined = (
        levels.join(read_decisions(folders.kept).select("row", "kept"), on="row")
        .group_by("level")
        .agg(pl.len().alias("rows"), pl.col("kept").sum().alias("kept"))
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        ("none" if level is None else f"level {level}", count, wilson(kept, count))
        for level, count, kept in joined.sort("level", nulls_last=True).iter_rows()
    )
    note: str = "share of synthetic rows that curation kept: a filter that drains the hard levels shows here"
    return Table(title="Kept by level", note=note, columns=("seed level", "rows", "kept"), rows=rows)


def _objects(path: Path) -> Sequence[dict[str, Any]]:  # Any: JSON
    return [dict(row.data) for row in store.read_json_rows(path) if not isinstance(row, Reject)]


def _object(path: Path) -> dict[str, Any]:  # Any: JSON
    return _objects(path)[0]
