"""Scores: what the source itself says of a pair (category, origin, its annotator's scores) as ledger columns.

Formula  mean = (score_chosen + score_rejected) / 2; gap = score_chosen - score_rejected; null where a score is missing
Source   Skywork-Reward selects by the mean score of the responses, not by the margin (arXiv 2410.18451; reward model ArmoRM)
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train; decide/top_k.py ranks by it
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "map"
READS: tuple[str, ...] = ("category", "origin", "score_chosen", "score_rejected")
WRITES: dict[str, pl.DataType] = {
    "scores.category": pl.Categorical(),
    "scores.origin": pl.Categorical(),
    "scores.mean": pl.Float64(),
    "scores.gap": pl.Float64(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Category, origin, mean score and gap of each row."""
    del config
    chosen, rejected = (pl.col(name).cast(pl.Float64) for name in ("score_chosen", "score_rejected"))
    return rows_N.select(
        pl.col("category").cast(pl.String).alias("scores.category"),
        pl.col("origin").cast(pl.String).alias("scores.origin"),
        ((chosen + rejected) / 2).alias("scores.mean"),
        (chosen - rejected).alias("scores.gap"),
    )


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: column values
    (
        {"category": "math", "origin": "amber", "score_chosen": 0.75, "score_rejected": 0.25},
        {"category": "", "origin": "", "score_chosen": 0.5, "score_rejected": None},
    ),
    (
        {"scores.category": "math", "scores.origin": "amber", "scores.mean": 0.5, "scores.gap": 0.5},
        {"scores.category": "", "scores.origin": "", "scores.mean": None, "scores.gap": None},
    ),
)
