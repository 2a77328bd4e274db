"""Counts of a curation beside the published ones: what each source gave, what was kept, what the paper kept.

Source   Skywork-Reward (arXiv 2410.18451), tables of the 378K pool and of the selection; data cards of v0.1 and v0.2
Flow     collect -> [curate] -> train; the report and `skyloom run` show the table
Run      skyloom run skywork_v01 --smoke
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from skyloom.core.ledger.curate import read_decisions
from skyloom.core.metrics import Cell, Table

NOTE: str = "pairs; published counts are those of the real sets"
NOTE_GENERATED: str = (
    "pairs; this run read generated sets with the real columns, not the real data: published counts are scaled by {scale:g}, "
    "and an agreement shows that the rules and the arithmetic are the paper's, nothing about the data"
)


def table(curated: Path, published: Mapping[str, tuple[int, int]], scale: float) -> Table:
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
