"""Contamination: n words in a row that a pair shares with a benchmark prompt, in its prompt or in either response.

The index is exported by `evals` (hashes, no text). Each turn is looked up alone, so no match runs across two turns. The evidence
names the place, the characters, the words and the benchmark item of every hit.

Source   core/text/ngrams.py has the rule; responses are searched too, which Skywork's own script did not do
Flow     evals export the index -> [curate: ANNOTATE -> decide -> materialise] -> train
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from skyloom.core.config import NOT_KEYED
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.text.ngrams import NgramIndex

KIND: str = "map"
READS: tuple[str, ...] = ("prompt", "chosen", "rejected")
WRITES: dict[str, pl.DataType] = {
    "contamination.prompt": pl.Int64(),  # words of the longest match in a turn of the prompt; 0 for none
    "contamination.chosen": pl.Int64(),
    "contamination.rejected": pl.Int64(),
    "contamination.evidence": pl.List(pl.String()),  # "prompt[0] 12-57, 9 words, ngram: item"
}
SIDES: tuple[str, ...] = ("prompt", "chosen", "rejected")
MOST_EVIDENCE: int = 8
"""Matches that are kept as evidence for one row; the counts see all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Which index."""

    index: Path | None = field(default=None, metadata=NOT_KEYED)
    """File of an NgramIndex; its content keys the cache. The pipeline puts the evaluation's own index where none is named;
    without any, every column is null, which the decider takes for unannotated."""


def inputs(config: Config) -> tuple[Path, ...]:
    """The index file, where one is set."""
    return (config.index,) if config.index is not None else ()


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Longest match of each part of a pair, and the evidence."""
    if config.index is None:
        return pl.DataFrame({name: [None] * rows_N.height for name in WRITES}, schema=WRITES)
    index = _index(config.index, config.index.stat().st_mtime_ns)
    row_N = pl.Series("row", np.arange(rows_N.height), dtype=pl.Int64)
    count_N = rows_N["prompt"].list.len().cast(pl.Int64).to_numpy()
    turns = rows_N["prompt"].filter(count_N > 0).explode().struct.field("content")
    turn_T = pl.Series(np.arange(len(turns)) - np.repeat(np.cumsum(count_N) - count_N, count_N))
    found = pl.concat(
        [
            _hits(index, turns, pl.Series(np.repeat(row_N, count_N)), pl.format("prompt[{}]", turn_T)),
            *(_hits(index, rows_N[side], row_N, pl.lit(side)) for side in SIDES[1:]),
        ]
    )
    return _per_row(found, row_N)


def _hits(index: NgramIndex, texts: pl.Series, row_T: pl.Series, place: pl.Expr) -> pl.DataFrame:
    """The index's hits in one column of texts: row, place, words and evidence of each."""
    places = pl.DataFrame({"row": row_T}).with_columns(place.alias("place"))
    hits = index.query(texts)
    evidence = pl.format("{} {}-{}, {} words, {}: {}", "place", "start", "stop", "words", "rule", "item")
    return places[hits["query"]].hstack(hits).select("row", "place", "words", evidence.alias("evidence"))


def _per_row(found: pl.DataFrame, row_N: pl.Series) -> pl.DataFrame:
    """Longest match of each side and the first of the evidence, in the order of prompt, chosen, rejected."""
    longest = [
        pl.col("words").filter(pl.col("place").str.starts_with(side)).max().alias(f"contamination.{side}")
        for side in SIDES
    ]
    evidence = pl.col("evidence").head(MOST_EVIDENCE).alias("contamination.evidence")
    per_row = found.group_by("row", maintain_order=True).agg(*longest, evidence)
    whole = row_N.to_frame().join(per_row, on="row", how="left", maintain_order="left")
    return whole.select(
        *(pl.col(f"contamination.{side}").cast(pl.Int64).fill_null(0) for side in SIDES),
        pl.col("contamination.evidence").fill_null(pl.lit([], dtype=pl.List(pl.String()))),
    )


@lru_cache(maxsize=2)
def _index(path: Path, changed: int) -> NgramIndex:
    del changed  # part of the cache key: a file written anew is read anew
    return NgramIndex.load(path)


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: column values
    ({"prompt": [{"role": "user", "content": "Name a colour."}], "chosen": "Blue.", "rejected": "Seven."},),
    (dict.fromkeys(WRITES),),
)
