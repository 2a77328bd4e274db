"""Contamination: does a row, or the seed that it was made from, share n words in a row with a benchmark item?

Formula  texts of a row = question + response, and the seed's question; a hit of either counts (rule: core/text/ngrams.py)
Source   30-gram filter of Llemma (arXiv 2310.10631) as in Skywork-Math (2407.08348); the whole-item rule for short items is ours:
         53% of MATH test problems have fewer than 30 words. Looking at the seed too finds rewordings, by lineage.
Flow     evals export an index -> [curate: ANNOTATE -> decide/contamination] -> train -> evaluate -> report
Run      skyloom run skywork_math --set curate.contamination.index=INDEX.npz
Limits   A rewording of a test item that came in with no such seed is not found.
Shapes   N rows
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from skyloom.core.config import NOT_KEYED
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.text.ngrams import NgramIndex

KIND: str = "map"
VERSION: int = 1
READS: tuple[str, ...] = ("question", "response", "seed_question")
WRITES: dict[str, pl.DataType] = {
    "contamination.hits": pl.Int64(),
    "contamination.item": pl.String(),
    "contamination.evidence": pl.String(),
    "contamination.in_seed": pl.Boolean(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Which benchmark items are kept out of training."""

    index: Path | None = field(default=None, metadata=NOT_KEYED)
    """Index that evals exported; its content enters the key. None: the pipeline fills in the index of its own benchmarks, and
    an annotator that runs by itself finds nothing."""


def inputs(config: Config) -> tuple[Path, ...]:
    """The index file."""
    return (config.index,) if config.index is not None else ()


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Benchmark items that a row hits, the first of them, the shared words, and whether the seed's text hits too."""
    if config.index is None:
        nothing: dict[str, Any] = {"hits": 0, "item": None, "evidence": None, "in_seed": False}
        return pl.DataFrame(
            [{f"contamination.{name}": value for name, value in nothing.items()}] * rows_N.height, schema=WRITES
        )
    index: NgramIndex = NgramIndex.load(config.index)
    own: list[str] = [
        f"{question}\n{response}" for question, response in rows_N.select("question", "response").iter_rows()
    ]
    seeds: list[str] = rows_N["seed_question"].to_list()
    return _summary(_hits(index, own, seeds=False), _hits(index, seeds, seeds=True), rows_N.height)


def _hits(index: NgramIndex, texts: list[str], *, seeds: bool) -> pl.DataFrame:
    found: pl.DataFrame = index.query(texts)
    spans: Iterable[tuple[int, int, int]] = found.select("query", "start", "stop").iter_rows()
    evidence = pl.Series("evidence", [texts[query][start:stop] for query, start, stop in spans], dtype=pl.String)
    return found.select("query", "item").with_columns(evidence, pl.lit(seeds).alias("in_seed"))


def _summary(own: pl.DataFrame, seeds: pl.DataFrame, height: int) -> pl.DataFrame:
    """One line a row; own text before the seed's, so that the evidence is what the row itself holds where there is any."""
    per_row: pl.DataFrame = (
        pl.concat([own, seeds])
        .group_by("query", maintain_order=True)
        .agg(
            pl.col("item").n_unique().cast(pl.Int64).alias("hits"),
            pl.col("item").first(),
            pl.col("evidence").first(),
            pl.col("in_seed").any(),
        )
    )
    rows_N: pl.DataFrame = pl.DataFrame({"query": pl.arange(0, height, eager=True, dtype=pl.UInt32)})
    whole: pl.DataFrame = rows_N.join(per_row, on="query", how="left", maintain_order="left")
    filled: pl.DataFrame = whole.with_columns(pl.col("hits").fill_null(0), pl.col("in_seed").fill_null(value=False))
    return filled.select(pl.col(name.partition(".")[2]).alias(name) for name in WRITES)


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (
    (
        {
            "question": "Solve x + 3 = 7 for x.",
            "response": "7-3=4\nThe answer is 4",
            "seed_question": "Solve x + 3 = 7 for x.",
        },
    ),
    (
        {
            "contamination.hits": 0,
            "contamination.item": None,
            "contamination.evidence": None,
            "contamination.in_seed": False,
        },
    ),
)
