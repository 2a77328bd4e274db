"""Tables and plots about the data of a run: what synthesis gave and cost, what curation kept of each level, and whether P(correct) is true.

Formula  reliability: of the rows with P(correct) near p, a share p should be right. Right is what the world knows; without a world it is
         equality with the gold, and P the one that did not hear the gold (annotate/correct)

Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from skyloom.core import store
from skyloom.core.ledger.annotate import read_columns, stored_owners
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.ledger.rows import read_sources, read_truth, row_parts
from skyloom.core.metrics import Cell, Plot, Series, Table
from skyloom.core.records import Reject
from skyloom.core.rng import stream
from skyloom.core.stats import Interval, ece, ece_floor, wilson
from skyloom.core.text.items import LAYERS
from skyloom.mathqa.benchmark import Item, leaks_by_level

BINS: int = 10
RESAMPLES: int = 1_000


class Folders(NamedTuple):
    """The finished steps of a run."""

    seeds: Path
    made: tuple[Path, ...]
    """One a pass whose rows are training data."""
    kept: Path
    model: Path


def tables(folders: Folders) -> tuple[Table, ...]:
    """Synthesis, the share kept by level, and the error of P(correct) where it was told; the report sets planted against found."""
    judged: tuple[_Judged, ...] = tuple(_judged(folders))
    return (_synthesis(folders.made), _kept_by_level(folders), *((_calibration(judged),) if judged else ()))


def plots(folders: Folders) -> tuple[Plot, ...]:
    """Rows by level before and after curation, and the reliability of P(correct) where it was told."""
    before_after: list[Series] = []
    counted: pl.DataFrame = _levels(folders).drop_nulls("level")
    for name, column in (("before curation", "rows"), ("kept", "kept")):
        whole: int = int(counted[column].sum())
        shares = [wilson(count, whole) for count in counted[column].to_list()] if whole else []
        x = tuple(float(level) for level in counted["level"].to_list()[: len(shares)])
        before_after.append(_series(name, x, shares))
    reliable: list[Series] = [each.series for each in _judged(folders)]
    level = Plot(title="Rows by level", x="level of the seed", y="share of the rows", series=tuple(before_after))
    if not reliable:
        return (level,)
    reliable.append(Series(name="calibrated", x=(0.0, 1.0), y=(0.0, 1.0)))
    title, y = "Reliability of P(correct)", "share right"
    return (level, Plot(title=title, x="mean P(correct) of a tenth of the rows", y=y, series=tuple(reliable)))


def leaks(folders: Folders, items: Sequence[Item]) -> tuple[Table, ...]:
    """Benchmark items by level that rows show; nothing where no row was looked at."""
    owners: dict[str, Path] = stored_owners(folders.kept / "columns")
    wanted = [f"contamination.{layer}" for layer in LAYERS]
    if not all(name in owners for name in wanted):
        return ()
    hits_N: pl.DataFrame = read_columns({name: owners[name] for name in wanted})
    return (leaks_by_level(items, hits_N, read_decisions(folders.kept)["kept"]),)


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


def _levels(folders: Folders) -> pl.DataFrame:
    """level, rows and kept rows of each level."""
    levels = pl.concat([pl.read_parquet(path, columns=["row", "level"]) for path in row_parts(folders.made)])
    return (
        levels.join(read_decisions(folders.kept).select("row", "kept"), on="row")
        .group_by("level")
        .agg(pl.len().alias("rows"), pl.col("kept").sum().alias("kept"))
        .sort("level", nulls_last=True)
    )


def _kept_by_level(folders: Folders) -> Table:
    counted: pl.DataFrame = _levels(folders)
    before, after = int(counted["rows"].sum()), int(counted["kept"].sum())
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        ("none" if level is None else f"level {level}", count, wilson(kept, count), count / before, kept / after)
        for level, count, kept in counted.iter_rows()
    )
    note: str = (
        "kept: share of a level's synthetic rows that curation kept, a filter that drains the hard levels shows here; "
        "before, after: the level's share of all rows"
    )
    return Table(title="Kept by level", note=note, columns=("seed level", "rows", "kept", "before", "after"), rows=rows)


class _Judged(NamedTuple):
    """P(correct) of some rows, and what is right."""

    name: str
    p_N: np.ndarray
    right_N: np.ndarray
    """bool"""
    seed_N: np.ndarray

    @property
    def series(self) -> Series:
        """Tenths of the rows by P; equal values stay together."""
        cut_B = np.quantile(self.p_N, np.arange(1, BINS) / BINS)
        at_N = np.searchsorted(np.unique(cut_B), self.p_N, side="left")
        bins: list[np.ndarray] = [at_N == k for k in np.unique(at_N).tolist()]
        shares = [wilson(int(self.right_N[here_N].sum()), int(here_N.sum())) for here_N in bins]
        return _series(self.name, tuple(float(self.p_N[here_N].mean()) for here_N in bins), shares)


def _judged(folders: Folders) -> Iterator[_Judged]:
    """Rows with P(correct), against the truth of a world; without one those with a gold, P without hearing it."""
    owners: dict[str, Path] = stored_owners(folders.kept / "columns")
    if "correct.p" not in owners:
        return
    told: pl.DataFrame = pl.concat(
        [
            pl.read_parquet(owners["row"], columns=["row"]),
            pl.read_parquet(owners["correct.p"], columns=["correct.p", "correct.blind"]),
            pl.read_parquet(owners["verify.equal"], columns=["verify.equal"]),
        ],
        how="horizontal",
    ).drop_nulls("correct.p")
    seeds = pl.concat([pl.read_parquet(path, columns=["row", "seed"]) for path in row_parts(folders.made)])
    told = told.join(seeds, on="row", how="left", maintain_order="left")
    truth: pl.DataFrame | None = read_truth(folders.made)
    if truth is not None and "truth.wrong" in truth.columns:
        known = told.join(truth.select("row", right=~pl.col("truth.wrong")), on="row").with_columns(p="correct.p")
        groups = {"all rows": known, "rows without a gold answer": known.filter(pl.col("verify.equal").is_null())}
    else:
        known = told.drop_nulls("verify.equal").with_columns(p="correct.blind", right="verify.equal")
        groups = {"rows with a gold answer, which P did not hear": known}
    for name, rows in groups.items():
        if rows["seed"].n_unique() > 1:
            yield _Judged(name, rows["p"].to_numpy(), rows["right"].to_numpy(), rows["seed"].to_numpy())


def _calibration(judged: Sequence[_Judged]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, p_N, right_N, seed_N in judged:
        error = ece(p_N, right_N, stream(0, "mathqa.summary", "ece"), cluster_N=seed_N, resamples=RESAMPLES)
        floor = ece_floor(p_N, stream(0, "mathqa.summary", "floor"), resamples=RESAMPLES)
        rows.append((name, len(p_N), float(p_N.mean()), wilson(int(right_N.sum()), len(right_N)), error, floor))
    note: str = (
        "ECE: how far P and the share right lie apart, on average over bins of equal count, interval by seeds; floor: what a "
        "perfectly calibrated P would read"
    )
    columns = ("rows", "n", "mean P", "right", "ECE", "floor")
    return Table(title="Calibration of P(correct)", note=note, columns=columns, rows=tuple(rows))


def _series(name: str, x: tuple[float, ...], shares: Sequence[Interval]) -> Series:
    value, low, high = (tuple(float(each[k]) for each in shares) for k in range(3))
    return Series(name=name, x=x, y=value, low=low, high=high)


def _objects(path: Path) -> Sequence[dict[str, Any]]:  # Any: JSON
    return [dict(row.data) for row in store.read_json_rows(path) if not isinstance(row, Reject)]


def _object(path: Path) -> dict[str, Any]:  # Any: JSON
    return _objects(path)[0]
