"""The data card: where the kept rows come from, under which licences, and what was dropped on the way.

Flow  collect -> [curate: annotate -> decide -> MATERIALISE] -> train -> evaluate -> report
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from skyloom.core import store
from skyloom.core.ledger.rows import SourceReport


def write_card(
    out: Path,
    sources: Sequence[SourceReport],
    keys: pl.DataFrame,
    alive_N: np.ndarray,
    steps: Sequence[Mapping[str, Any]],  # Any: the steps of waterfall.json
) -> None:
    """card.md and waterfall.json. `keys`: source and licence of each row; `alive_N`: bool, kept rows."""
    kept = keys.filter(pl.Series(alive_N)).group_by("source", "licence").len("kept").sort("source", "licence")
    total = keys.height
    store.write_json(out / "waterfall.json", {"rows_in": total, "steps": list(steps), "kept": int(alive_N.sum())})
    lines = ["# Data card", "", f"{int(alive_N.sum()):,} rows kept of {total:,}.", "", "## Sources and licences", ""]
    lines += ["| source | licence | split | read | rejected | kept |", "|---|---|---|---:|---:|---:|"]
    counts = {str(source): int(count) for source, _, count in kept.iter_rows()}
    for source in sources:
        note = (
            f"{source.split}, used for training on purpose"
            if source.as_train and source.split == "test"
            else source.split
        )
        numbers = f"{source.rows:,} | {source.rejected:,} | {counts.get(source.label, 0):,}"
        lines.append(f"| {source.label} | {source.licence} | {note} | {numbers} |")
    licences = sorted({source.licence for source in sources if counts.get(source.label)})
    lines += ["", f"Licences of the kept rows: {'; '.join(licences)}.", "", "## Decisions, in order", ""]
    lines += ["| decider | dropped | changed | reasons |", "|---|---:|---:|---|"]
    for step in steps:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in step["reasons"].items())
        lines.append(f"| {step['step']} | {step['dropped']:,} | {step['changed']:,} | {reasons} |")
    store.write_text(out / "card.md", "\n".join(lines) + "\n")
