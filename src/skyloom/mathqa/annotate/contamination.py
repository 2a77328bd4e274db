"""Contamination: which benchmark items a row shows, in its question, its response or the seed that it was made from.

Formula  layers ngram, whole, masked, near of core/text/items.py. A row's question and response and its seed's question are looked at one by
         one; responses by the first two layers only, since working repeats numbers and stock words
Source   30-gram filter of Llemma (arXiv 2310.10631) as in Skywork-Math (2407.08348); the other layers are ours: 53% of MATH test problems
         have fewer than 30 words. Looking at the seed finds rewordings by lineage
Flow     evals export an index -> [curate: ANNOTATE -> decide/contamination] -> train -> evaluate -> report
Run      skyloom run skywork_math --set curate.contamination.index=INDEX.npz
Limits   Without an index nothing is looked at, and every column is null: the decider drops such rows. Rewordings of short items are found
         two times in three (experiments/mathqa_decontamination.py)
Shapes   N rows
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from skyloom.core.config import NOT_KEYED
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.text.items import LAYERS, ItemIndex

KIND: str = "map"
VERSION: int = 2
READS: tuple[str, ...] = ("question", "response", "seed_question")
WRITES: dict[str, pl.DataType] = {
    "contamination.hits": pl.Int64(),  # items hit by any layer
    "contamination.layer": pl.String(),  # the surest layer that hit; item, evidence and place are of its first hit; null for none
    "contamination.item": pl.String(),
    "contamination.evidence": pl.String(),  # the row's words
    "contamination.place": pl.String(),  # question, response or seed_question
    "contamination.in_seed": pl.Boolean(),  # whether the seed's question hits
    **{f"contamination.{layer}": pl.List(pl.String()) for layer in LAYERS},  # every item that the layer hits
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Which benchmark items are kept out of training."""

    index: Path | None = field(default=None, metadata=NOT_KEYED)
    """Index that evals exported; its content enters the key. None: the pipeline fills in the index of its own benchmarks."""
    near: float | None = 0.65
    """Least cosine of layer `near`, above 0 and at most 1; None leaves the layer out. The default flags 0.03% of the rows of DAPO that
    share no 8 words in a row with MATH test (ours)."""

    def __post_init__(self) -> None:
        """Raise ValueError for a cosine that says nothing."""
        if self.near is not None and not 0 < self.near <= 1:
            raise ValueError(f"near={self.near} must be above 0 and at most 1")


def inputs(config: Config) -> tuple[Path, ...]:
    """The index file."""
    return (config.index,) if config.index is not None else ()


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The items of each layer and the surest hit of each row. Raises BadInput for a damaged index."""
    if config.index is None:
        return pl.DataFrame({name: [None] * rows_N.height for name in WRITES}, schema=WRITES)
    index: ItemIndex = _index(config.index, config.index.stat().st_mtime_ns)
    return _per_row(pl.concat([_hits(index, rows_N[place], config.near) for place in READS]), rows_N.height)


def _hits(index: ItemIndex, texts_N: pl.Series, near: float | None) -> pl.DataFrame:
    """Row, item, layer, evidence and place of all hits in one column; many rows share a text, which is looked at once."""
    place: str = texts_N.name
    distinct: pl.Series = texts_N.unique(maintain_order=True)
    working: bool = place == "response"
    found: pl.DataFrame = index.query(distinct.to_list(), masked=not working, near=None if working else near)
    held: pl.DataFrame = found.with_columns(distinct.gather(found["query"]).alias("text"), pl.lit(place).alias("place"))
    rows: pl.DataFrame = texts_N.alias("text").to_frame().with_row_index("row")
    joined: pl.DataFrame = rows.join(held, on="text", maintain_order="left_right")
    return joined.select("row", "item", "layer", "evidence", "place")


def _per_row(found: pl.DataFrame, height: int) -> pl.DataFrame:
    """One line a row: surest layer first, then the row's own text before the seed's, which is the order of `found`."""
    surest: pl.Expr = pl.col("layer").cast(pl.Enum(LAYERS))
    per_row: pl.DataFrame = (
        found.sort(surest, maintain_order=True)
        .group_by("row", maintain_order=True)
        .agg(
            pl.col("item").n_unique().alias("hits"),
            pl.col("layer", "evidence", "place").first(),
            pl.col("item").first().alias("first"),
            (pl.col("place") == "seed_question").any().alias("in_seed"),
            *(
                pl.col("item").filter(pl.col("layer") == layer).unique(maintain_order=True).alias(layer)
                for layer in LAYERS
            ),
        )
        .rename({"first": "item"})
    )
    rows_N: pl.DataFrame = pl.DataFrame({"row": pl.arange(0, height, eager=True, dtype=pl.UInt32)})
    whole: pl.DataFrame = rows_N.join(per_row, on="row", how="left", maintain_order="left")
    none: pl.Expr = pl.lit([], dtype=pl.List(pl.String()))
    filled: pl.DataFrame = whole.with_columns(
        pl.col("hits").fill_null(0), pl.col("in_seed").fill_null(value=False), pl.col(LAYERS).fill_null(none)
    )
    return filled.select(pl.col(name.partition(".")[2]).cast(kind).alias(name) for name, kind in WRITES.items())


@lru_cache(maxsize=2)
def _index(path: Path, changed: int) -> ItemIndex:
    del changed  # part of the cache key: a file written anew is read anew
    return ItemIndex.load(path)


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: column values
    (
        {
            "question": "Solve x + 3 = 7 for x.",
            "response": "7-3=4\nThe answer is 4",
            "seed_question": "Solve x + 3 = 7 for x.",
        },
    ),
    (dict.fromkeys(WRITES),),
)
