"""Curate: run an explicit chain of annotators and deciders over collected rows, then write what is kept, and why.

Layout   columns/NN-<annotator>.parquet    facts, all files in one row order; 00-keys.parquet holds row, source, licence
         verdicts/NN-<decider>.parquet     every decider's reason and action for every row
         decisions.parquet                 row, kept, action, first reason, weight, label
         kept/part-*.parquet               record columns + row, source, licence, weight, label
         waterfall.json  truth.json  card.md  data.jsonl (export for `datasets` and TRL, where the system has one)
Flow     collect -> [curate: annotate -> decide -> materialise] -> train -> evaluate -> report
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from skyloom.core import store
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.execute import ExecuteConfig
from skyloom.core.ledger import rows as rows_module
from skyloom.core.ledger.annotate import Annotations, AnnotatorConfig, Mend, read_columns, stored_owners
from skyloom.core.ledger.card import write_card
from skyloom.core.ledger.decide import DROP, DeciderConfig, Standing, Verdict, count_reasons, run_decider, verdict_frame
from skyloom.core.progress import track
from skyloom.core.records import Reject

Export = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # Any: column values
"""One kept row as the JSON object that other tools load."""


class Curated(NamedTuple):
    """What curation did."""

    rows_in: int
    kept: int
    steps: list[dict[str, Any]]
    """waterfall.json's steps: {"step", "dropped", "changed", "reasons"} in chain order."""


def curate(
    folders: Sequence[Path],
    chain: Sequence[PluginConfig],
    out: Path,
    cache: Path,
    *,
    execute: ExecuteConfig | None = None,
    retractions: Path | None = None,
    mend: Mend | None = None,
    export: Export | None = None,
    defects: Mapping[str, Sequence[str]] | None = None,
) -> Curated:
    """Run `chain` over the rows of collected `folders` and write the layout above into `out`.

    `retractions`: a JSON list of row keys that are dropped first, with everything derived from them. `defects`: for worlds, planted
    defect (a bool column `truth.<defect>`) -> reasons or annotation columns (bool) that count as having found it.
    Raises BadInput where the chain holds something else or nothing is left, FailedWork where a plug-in breaks its contract.
    """
    parts = rows_module.row_parts(folders)
    if not parts:
        raise BadInput(f"{', '.join(map(str, folders))}: no rows to curate")
    annotations = Annotations(parts, _part_hashes(folders), out / "columns", cache)
    standing = Standing.start(annotations.height)
    steps: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    if retractions is not None:
        verdicts.append(_retract(annotations, retractions, folders))
        _settle(standing, verdicts[-1], steps, out)
    for config in chain:
        if isinstance(config, AnnotatorConfig):
            annotations.add(config, standing, execute or ExecuteConfig(), mend)
        elif isinstance(config, DeciderConfig):
            verdicts.append(run_decider(config, annotations.read, standing.alive_N))
            _settle(standing, verdicts[-1], steps, out)
        else:
            raise BadInput(f"curate: {type(config).__module__} is neither an annotator nor a decider")
    _write_decisions(annotations.read, standing, out)
    kept = int(standing.alive_N.sum())
    if kept == 0:
        raise BadInput(f"curate: every one of {annotations.height:,} rows was dropped; see {out / 'waterfall.json'}")
    _materialise(parts, standing, out, mend, export)
    if defects is not None:
        _write_truth(folders, annotations, verdicts, defects, out)
    write_card(out, rows_module.read_sources(folders), annotations.read(["source", "licence"]), standing.alive_N, steps)
    return Curated(annotations.height, kept, steps)


def redecide(columns: Path, chain: Sequence[DeciderConfig], out: Path) -> Curated:
    """Deciders alone, over the columns of a finished curation: verdicts, decisions and counts, no text and no annotator.

    What a changed threshold costs; fit annotators are not fitted again, so a chain must not move a decider across one.
    """
    owners = stored_owners(columns)
    height = int(pl.scan_parquet(columns / "00-keys.parquet").select(pl.len()).collect().item())

    def read(names: Sequence[str]) -> pl.DataFrame:
        unknown = [name for name in names if name not in owners]
        if unknown:
            raise BadInput(f"{columns}: no column {unknown[0]!r}; known: {', '.join(owners)}")
        return read_columns({name: owners[name] for name in names})

    standing = Standing.start(height)
    steps: list[dict[str, Any]] = []
    for config in chain:
        _settle(standing, run_decider(config, read, standing.alive_N), steps, out)
    _write_decisions(read, standing, out)
    kept = int(standing.alive_N.sum())
    store.write_json(out / "waterfall.json", {"rows_in": height, "steps": steps, "kept": kept})
    return Curated(height, kept, steps)


def read_kept(folder: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Kept rows of a curate step: record columns + row, source, licence, weight, label."""
    files = sorted((folder / "kept").glob("*.parquet"))
    return pl.concat(
        [pl.read_parquet(file, columns=list(columns) if columns else None) for file in files], how="vertical_relaxed"
    )


def read_decisions(folder: Path) -> pl.DataFrame:
    """row, kept, action, reason, weight, label of every row."""
    return pl.read_parquet(folder / "decisions.parquet")


def _part_hashes(folders: Sequence[Path]) -> list[str]:
    """Content hashes of the row parts: from the finished step's manifest where there is one."""
    hashes: list[str] = []
    for folder in folders:
        manifest = folder / "step.json"
        known: Mapping[str, str] = {}
        if manifest.is_file():
            (raw,) = store.read_json_rows(manifest)
            known = {} if isinstance(raw, Reject) else raw.data["files"]
        parts = rows_module.row_parts([folder])
        hashes += [known.get(part.relative_to(folder).as_posix()) or store.sha256(part) for part in parts]
    return hashes


def _settle(standing: Standing, verdict: Verdict, steps: list[dict[str, Any]], out: Path) -> None:
    """Apply a verdict, count it and store it."""
    changed_N = standing.apply(verdict)
    dropped_N = changed_N & (verdict.action_N == DROP)
    store.write_parquet(out / "verdicts" / f"{len(steps):02d}-{verdict.name}.parquet", verdict_frame(verdict))
    steps.append(
        {
            "step": verdict.name,
            "dropped": int(dropped_N.sum()),
            "changed": int(changed_N.sum()) - int(dropped_N.sum()),
            "reasons": count_reasons(verdict.reason_N, changed_N),
        }
    )


def _retract(annotations: Annotations, file: Path, folders: Sequence[Path]) -> Verdict:
    listed: set[int] = {
        row for raw in store.read_json_rows(file) if not isinstance(raw, Reject) for row in raw.data["rows"]
    }
    gone = descendants(listed, rows_module.read_edges(folders))
    row_N = annotations.read(["row"])["row"]
    reason_N = pl.select(pl.when(row_N.is_in(sorted(gone))).then(pl.lit("retracted"))).to_series().cast(pl.Categorical)
    action_N = np.where(reason_N.is_null().to_numpy(), 0, DROP).astype(np.uint8)
    return Verdict("retracted", reason_N, action_N, None, None, only_drops=True)


def descendants(rows: set[int], edges: pl.DataFrame) -> set[int]:
    """The rows and everything derived from them, through any number of generations."""
    found = set(rows)
    fresh = found
    while fresh:
        children = set(edges.filter(pl.col("parent").is_in(sorted(fresh)))["child"].to_list())
        fresh = children - found
        found |= fresh
    return found


def _write_decisions(read: Callable[[Sequence[str]], pl.DataFrame], standing: Standing, out: Path) -> None:
    frame = read(["row", "source"]).with_columns(
        pl.Series("kept", standing.alive_N),
        standing.action(),
        standing.reason,
        pl.Series("weight", standing.weight_N),
        pl.Series("label", standing.label_N),
    )
    store.write_parquet(out / "decisions.parquet", frame)


def _materialise(
    parts: Sequence[Path], standing: Standing, out: Path, mend: Mend | None, export: Export | None
) -> None:
    action = standing.action()
    start = 0
    lines: list[Mapping[str, Any]] = []
    for k, part in enumerate(track(parts, "materialising", len(parts))):
        frame = pl.read_parquet(part)
        here = slice(start, start + frame.height)
        start += frame.height
        kept = frame.with_columns(
            action[here].alias("action"),
            pl.Series("weight", standing.weight_N[here]),
            pl.Series("label", standing.label_N[here]),
        ).filter(pl.Series(standing.alive_N[here]))
        kept = _mended(kept, mend)
        if kept.height:
            store.write_parquet(out / "kept" / f"part-{k:05d}.parquet", kept)
            lines += [export(row) for row in kept.iter_rows(named=True)] if export else []
    if export:
        store.write_jsonl(out / "data.jsonl", lines)


def _mended(kept: pl.DataFrame, mend: Mend | None) -> pl.DataFrame:
    changed = int(kept["action"].cast(pl.String).is_in(["flip", "repair"]).sum())
    if changed and mend is None:
        raise FailedWork(f"curate: {changed} rows are to be flipped or repaired, and this system cannot")
    mended = mend(kept) if mend is not None else kept
    if mended.height != kept.height:
        raise FailedWork(f"curate: mending turned {kept.height} rows into {mended.height}")
    return mended.drop("action")


def _write_truth(
    folders: Sequence[Path],
    annotations: Annotations,
    verdicts: Sequence[Verdict],
    defects: Mapping[str, Sequence[str]],
    out: Path,
) -> None:
    """Planted against found: a row counts as found where one of the named reasons, or bool columns, stands."""
    truth = rows_module.read_truth(folders)
    if truth is None:
        return
    keys = annotations.read(["row"])
    joined = keys.join(truth, on="row", how="left", maintain_order="left")
    # Only rows of a world can be judged: on real rows nobody knows the truth.
    world_N = joined.select(pl.any_horizontal(pl.exclude("row").is_not_null())).to_series().to_numpy()
    results: list[dict[str, Any]] = []
    for defect, signs in defects.items():
        planted_N = joined[f"truth.{defect}"].fill_null(False).to_numpy() & world_N
        found_N = np.zeros(len(planted_N), bool)
        reasons = [sign for sign in signs if "." not in sign]
        for verdict in verdicts:
            found_N |= verdict.reason_N.cast(pl.String).is_in(reasons).fill_null(False).to_numpy()
        for column in (sign for sign in signs if "." in sign):
            found_N |= annotations.read([column]).to_series().fill_null(False).to_numpy()
        found_N &= world_N
        hits = int((planted_N & found_N).sum())
        results.append({"defect": defect, "planted": int(planted_N.sum()), "found": int(found_N.sum()), "hits": hits})
    store.write_json(out / "truth.json", results)
