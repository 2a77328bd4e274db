"""What a curation's page says beside the ledger: counts beside the published ones, and the shortcuts of each source.

Source   Skywork-Reward (arXiv 2410.18451), tables of the 378K pool and of the selection; data cards of v0.1 and v0.2
Flow     collect -> [curate] -> train; the report and `skyloom run` show the table
Run      skyloom run skywork_v01 --smoke
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from skyloom.core.ledger.annotate import read_columns, stored_owners
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.metrics import Cell, Table

NOTE: str = "pairs; published counts are those of the real sets"
NOTE_GENERATED: str = (
    "pairs; this run read generated sets with the real columns, not the real data: published counts are scaled by {scale:g}, "
    "and an agreement shows that the rules and the arithmetic are the paper's, nothing about the data"
)


SHORTCUT_NOTE: str = (
    "cross-validated AUC of a classifier that sees counts, marks and single words of the two sides and not what was asked; "
    "an alarm names the feature that gives the label away"
)


class Shortcut(NamedTuple):
    """What the detector says of one source; null AUC where there were too few pairs."""

    source: str
    auc: float | None
    alarm: bool
    feature: str | None
    evidence: str


def tables(curated: Path, published: Mapping[str, tuple[int, int]], scale: float) -> list[Table]:
    """The tables of a curated folder; without published counts or a shortcut detector in the chain the one or the other is missing."""
    found = [counts(curated, published, scale)] if published else []
    seen = shortcuts(curated)
    if seen:
        rows = tuple((each.source, each.auc, each.feature or "no alarm", each.evidence) for each in seen)
        columns = ("source", "AUC of the surface", "alarm", "evidence")
        found.append(Table(title="Can chosen be told by its looks?", note=SHORTCUT_NOTE, columns=columns, rows=rows))
    return found


def shortcuts(curated: Path) -> list[Shortcut]:
    """The detector's findings, a source each; empty where it did not run."""
    owners = stored_owners(curated / "columns")
    names = ["source", *(f"shortcuts.{name}" for name in Shortcut._fields[1:])]
    if not set(names) <= set(owners):
        return []
    told = read_columns({name: owners[name] for name in names}).filter(pl.col("shortcuts.evidence").is_not_null())
    first = told.with_columns(pl.col("source").cast(pl.String)).unique("source", keep="first").sort("source")
    return [Shortcut(*row) for row in first.select(names).iter_rows()]


def counts(curated: Path, published: Mapping[str, tuple[int, int]], scale: float) -> Table:
    """Read and kept pairs of each source of a curated folder, and the published pool and selection times `scale`.

    Sources that the paper does not have come last, without published counts.
    """
    decisions = read_decisions(curated).select(pl.col("source").cast(pl.String), "kept")
    counted = decisions.group_by("source").agg(pl.len(), pl.col("kept").sum()).rows()
    found = {source: (int(read), int(kept)) for source, read, kept in counted}
    names = [*(name for name in published if name in found), *sorted(set(found) - set(published))]
    rows = [_row(name, found[name], published.get(name), scale) for name in names]
    total_read, total_kept = (sum(found[name][k] for name in names) for k in (0, 1))
    known = [published[name] for name in names if name in published]
    whole = (sum(each[0] for each in known), sum(each[1] for each in known)) if len(known) == len(published) else None
    rows.append(_row("total", (total_read, total_kept), whole, scale))
    columns = ("source", "read", "kept", "kept share", "published pool", "published kept", "published share")
    note = NOTE if scale == 1.0 else NOTE_GENERATED.format(scale=scale)
    return Table(title="Counts beside the published ones", note=note, columns=columns, rows=tuple(rows))


def _row(name: str, found: tuple[int, int], published: tuple[int, int] | None, scale: float) -> tuple[Cell, ...]:
    told: tuple[Cell, ...] = (None, None, None)
    if published is not None:
        told = (round(published[0] * scale), round(published[1] * scale), _share(published))
    return (name, *found, _share(found), *told)


def _share(counts: tuple[int, int]) -> str:
    return f"{counts[1] / max(counts[0], 1):.1%}"
