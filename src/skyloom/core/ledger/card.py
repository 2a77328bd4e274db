"""The data card: where the kept rows come from, under which licences, and what was dropped on the way.

Flow  collect -> [curate: annotate -> decide -> MATERIALISE] -> train -> evaluate -> report
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from skyloom.core import licences, store
from skyloom.core.ledger.rows import SourceReport


def write_card(
    out: Path,
    sources: Sequence[SourceReport],
    keys: pl.DataFrame,
    alive_N: np.ndarray,
    steps: Sequence[Mapping[str, Any]],  # Any: the steps of waterfall.json
) -> None:
    """card.md and waterfall.json. `keys`: source and licence of each row; `alive_N`: bool, kept rows."""
    kept = keys.filter(pl.Series(alive_N)).cast(pl.String).group_by("source", "licence").len("kept")
    total, count = keys.height, int(alive_N.sum())
    store.write_json(out / "waterfall.json", {"rows_in": total, "steps": list(steps), "kept": count})
    lines = ["# Data card", "", f"{count:,} rows kept of {total:,}.", "", "## Sources", "", *_sources(sources, kept)]
    lines += ["", "## Licences of the kept rows", "", *_licences(sources, kept), "", "## Decisions, in order", ""]
    lines += ["| decider | dropped | changed | reasons |", "|---|---:|---:|---|"]
    for step in steps:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in step["reasons"].items())
        lines.append(f"| {step['step']} | {step['dropped']:,} | {step['changed']:,} | {reasons} |")
    store.write_text(out / "card.md", "\n".join(lines) + "\n")


def _sources(sources: Sequence[SourceReport], kept: pl.DataFrame) -> list[str]:
    """A line a source: what was read and what is left of it."""
    lines = ["| source | licence | split | read | rejected | kept |", "|---|---|---|---:|---:|---:|"]
    counts = {str(label): int(number) for label, number in kept.group_by("source").agg(pl.sum("kept")).iter_rows()}
    for source in sources:
        on_purpose = source.as_train and source.split == "test"
        note = f"{source.split}, used for training on purpose" if on_purpose else source.split
        licence = f"{source.licence}, gated" if source.gated else source.licence
        numbers = f"{source.rows:,} | {source.rejected:,} | {counts.get(source.label, 0):,}"
        lines.append(f"| {source.label} | {licence} | {note} | {numbers} |")
    return lines


def _licences(sources: Sequence[SourceReport], kept: pl.DataFrame) -> list[str]:
    """A line a licence, gated rows apart from others: rows, what a reader must not miss, and the conditions."""
    gated = [source.label for source in sources if source.gated]
    rolled = kept.group_by("licence", pl.col("source").is_in(gated).alias("gated")).agg(pl.sum("kept"))
    lines = ["| licence | kept | share | mark | commercial use | conditions |", "|---|---:|---:|---|---|---|"]
    for name, is_gated, number in rolled.sort("licence", "gated").iter_rows():
        terms, mark = licences.terms(name), licences.mark(name, is_gated)
        share = number / kept["kept"].sum()
        shown = f"**{mark}**" if mark else ""
        lines.append(f"| {name} | {number:,} | {share:.1%} | {shown} | {terms.commercial} | {terms.note} |")
    return [*lines, "", "A reading of the notices, not legal advice."]
