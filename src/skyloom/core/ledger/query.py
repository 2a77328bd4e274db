"""Ask the ledger: why a row was kept or dropped, what two runs differ in, and what came from a row.

All three read run directories only, for preference pairs, math problems and games alike.

Run   skyloom why world:0:17    skyloom diff RUN_A RUN_B    skyloom retract world:0:17 --apply
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from skyloom.core import store
from skyloom.core.errors import BadInput
from skyloom.core.ledger import rows as rows_module
from skyloom.core.ledger.annotate import KEYS
from skyloom.core.ledger.curate import descendants, read_decisions
from skyloom.core.records import Reject
from skyloom.core.run import output_digests, read_manifest

CURATED: str = "curate"


class Ruling(NamedTuple):
    """One decider's verdict on one row."""

    decider: str
    action: str
    reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trail:
    """Everything a run knows about one row."""

    row: int
    shown: str
    """label:shard:ordinal"""
    record: Mapping[str, Any]  # Any: column values
    facts: Mapping[str, Any]
    """Annotation columns."""
    rulings: tuple[Ruling, ...]
    """Every decider's verdict in chain order, also those after the row had been dropped."""
    kept: bool
    decision: Mapping[str, Any]
    """action, first reason, weight, label."""
    truth: Mapping[str, Any]
    """What a world planted; empty for real data."""
    parents: tuple[str, ...]
    children: tuple[str, ...]
    used_by: tuple[str, ...]
    """Steps built on the curated set, where the row is in it."""


class Difference(NamedTuple):
    """One row on which two runs differ."""

    row: int
    shown: str
    change: str
    """gained (kept in the second run only) or lost (kept in the first only)."""
    reason: str
    """Why the run that does not keep it does not: its first reason, or "not collected"."""


class Derived(NamedTuple):
    """What hangs on a row: the rows made from it, and the steps that used any of them."""

    rows: tuple[str, ...]
    kept: tuple[str, ...]
    steps: tuple[str, ...]


def why(run: Path, row_id: str) -> Trail:
    """The whole trail of one row; BadInput for an unknown id or a run without a curated ledger.

    A row that was collected and never curated itself, such as the seed of a made row, has no rulings; its children have.
    """
    folders, curated = collected_folders(run), curated_folder(run)
    sources = rows_module.read_sources(folders)
    row = rows_module.parse_row(row_id, sources)
    record = rows_module.read_rows(folders, [row])
    if record.is_empty():
        raise BadInput(f"row {row_id}: not in {run}; it has rows of {', '.join(source.label for source in sources)}")
    facts, rulings, decision = _judged(curated, row)
    for selection in selections(run):  # what made it a seed, or did not
        more, earlier, _ = _judged(selection, row)
        facts = {**more, **facts}
        rulings = (*(each._replace(decider=f"{selection.name}/{each.decider}") for each in earlier), *rulings)
    edges = rows_module.read_edges(folders)
    kept = bool(decision.get("kept", False))
    return Trail(
        row=row,
        shown=rows_module.show_row(row, sources),
        record=record.row(0, named=True),
        facts=facts,
        rulings=rulings,
        kept=kept,
        decision={name: decision[name] for name in ("action", "reason", "weight", "label") if name in decision},
        truth=_truth_of(folders, row),
        parents=_shown(edges.filter(pl.col("child") == row)["parent"], sources),
        children=_shown(edges.filter(pl.col("parent") == row)["child"], sources),
        used_by=_later_steps(run) if kept else (),
    )


def _judged(curated: Path, row: int) -> tuple[dict[str, Any], tuple[Ruling, ...], dict[str, Any]]:
    """Facts, rulings and decision of a row in a curated ledger; nothing where it is not in it."""
    at = position(curated / "columns" / "00-keys.parquet", row)
    if at is None:
        return {}, (), {}
    facts: dict[str, Any] = {}
    for file in sorted((curated / "columns").glob("*.parquet")):
        facts |= {name: value for name, value in one_row(file, at).items() if name not in KEYS}
    rulings: list[Ruling] = []
    for file in sorted((curated / "verdicts").glob("*.parquet")):
        values = one_row(file, at)
        name = file.stem.partition("-")[2]
        reason = values[f"{name}.reason"]
        rulings.append(Ruling(name, str(values.get(f"{name}.action") or ("drop" if reason else "keep")), reason))
    return facts, tuple(rulings), one_row(curated / "decisions.parquet", at)


def diff(run_a: Path, run_b: Path) -> tuple[Difference, ...]:
    """Rows kept in one run and not in the other, with the reason of the run that does not keep them; by row key."""
    sources_a, sources_b = (rows_module.read_sources(collected_folders(run)) for run in (run_a, run_b))
    clash = _clash(sources_a, sources_b)
    if clash:
        raise BadInput(f"{run_a} and {run_b} number the source {clash!r} differently: their rows cannot be compared")
    columns = ["row", "kept", "reason"]
    first, second = (
        read_decisions(curated_folder(run)).select(columns).with_columns(pl.col("reason").cast(pl.String))
        for run in (run_a, run_b)
    )
    both = first.join(second, on="row", how="full", coalesce=True, suffix="_b").sort("row")
    kept_a, kept_b = pl.col("kept").fill_null(False), pl.col("kept_b").fill_null(False)
    changed = both.filter(kept_a != kept_b)
    sources = (*sources_a, *sources_b)
    found: list[Difference] = []
    for row, kept, reason, reason_b in changed.select("row", kept_a, "reason", "reason_b").iter_rows():
        why_not = (reason_b if kept else reason) or "not collected"
        found.append(Difference(row, rows_module.show_row(row, sources), "lost" if kept else "gained", why_not))
    return tuple(found)


def retract(run: Path, row_id: str, apply: bool = False) -> Derived:
    """Everything derived from a row. With `apply`, the row is put on the run's retraction list: running the recipe again drops it
    with its descendants, and trains and evaluates anew."""
    folders = collected_folders(run)
    sources = rows_module.read_sources(folders)
    row = rows_module.parse_row(row_id, sources)
    if rows_module.read_rows(folders, [row]).is_empty():
        raise BadInput(f"row {row_id}: not in {run}")
    gone = descendants({row}, rows_module.read_edges(folders))
    decisions = read_decisions(curated_folder(run)).filter(pl.col("row").is_in(sorted(gone)) & pl.col("kept"))
    kept = decisions["row"].sort()
    if apply:
        listed = set(_listed(run)) | {row}
        store.write_json(retractions_file(run), {"rows": sorted(listed)})
    shown = tuple(rows_module.show_row(each, sources) for each in sorted(gone))
    return Derived(shown, _shown(kept, sources), _later_steps(run) if kept.len() else ())


def retractions_file(run: Path) -> Path:
    """The run's list of retracted rows, {"rows": [...]}; it is an input of the curate step."""
    return run / "retractions.json"


def retractions(run: Path) -> tuple[Path, ...]:
    """The list, as inputs of a step; empty where nothing was retracted."""
    file = retractions_file(run)
    return (file,) if file.is_file() else ()


def collected_folders(run: Path) -> tuple[Path, ...]:
    """The folders of a run that hold rows, in path order."""
    read_manifest(run)
    found = tuple(sorted(path.parent for path in run.glob("*/sources.json")))
    if not found:
        raise BadInput(f"{run}: nothing was collected yet; run the recipe first")
    return found


def curated_folder(run: Path) -> Path:
    """The folder of a run that says what is trained on."""
    if not (run / CURATED / "decisions.parquet").is_file():
        raise BadInput(f"{run}: nothing was curated yet; run the recipe first")
    return run / CURATED


def selections(run: Path) -> tuple[Path, ...]:
    """Its other folders with decisions: rows that were chosen as seeds, in path order."""
    return tuple(sorted(path.parent for path in run.glob("*/decisions.parquet") if path.parent.name != CURATED))


def position(keys: Path, row: int) -> int | None:
    """Where a row stands in the ledger's order; Parquet statistics skip the groups that cannot hold it."""
    lazy = pl.scan_parquet(keys, row_index_name="at").filter(pl.col("row") == row).select("at")
    found = lazy.collect()["at"]
    return int(found[0]) if found.len() else None


def one_row(file: Path, at: int) -> dict[str, Any]:
    """One row of a Parquet file by position, as column -> value."""
    frame = pl.scan_parquet(file).slice(at, 1).collect()
    return frame.row(0, named=True)


def _truth_of(folders: Sequence[Path], row: int) -> Mapping[str, Any]:
    for folder in folders:
        for file in sorted((folder / "truth").glob("*.parquet")):
            found = pl.scan_parquet(file).filter(pl.col("row") == row).collect()
            if found.height:
                return {name: value for name, value in found.row(0, named=True).items() if name != "row"}
    return {}


def _shown(rows: pl.Series, sources: Sequence[rows_module.SourceReport]) -> tuple[str, ...]:
    return tuple(rows_module.show_row(int(row), sources) for row in rows)


def _later_steps(run: Path) -> tuple[str, ...]:
    curated = curated_folder(run).name
    before = {
        curated,
        *(folder.name for folder in selections(run)),
        *(folder.name for folder in collected_folders(run)),
        "benchmarks",
    }
    return tuple(name for name in output_digests(run) if name not in before)


def _clash(first: Sequence[rows_module.SourceReport], second: Sequence[rows_module.SourceReport]) -> str | None:
    numbers = {source.label: source.number for source in first}
    return next((s.label for s in second if s.label in numbers and numbers[s.label] != s.number), None)


def _listed(run: Path) -> list[int]:
    file = retractions_file(run)
    if not file.is_file():
        return []
    return [int(row) for raw in store.read_json_rows(file) if not isinstance(raw, Reject) for row in raw.data["rows"]]
