"""Scores: what the source itself says of a pair (category, origin, its annotator's scores) as ledger columns.

Formula  mean = mean of all the responses' scores where the source ships them, else (score_chosen + score_rejected) / 2;
         gap = score_chosen - score_rejected; null where a score is missing
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
READS: tuple[str, ...] = ("category", "origin", "score_chosen", "score_rejected", "scores", "confidence")
WRITES: dict[str, pl.DataType] = {
    "scores.category": pl.Categorical(),
    "scores.origin": pl.Categorical(),
    "scores.mean": pl.Float64(),
    "scores.gap": pl.Float64(),
    "scores.confidence": pl.Float64(),
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
        pl.coalesce(pl.col("scores").list.mean(), (chosen + rejected) / 2).cast(pl.Float64).alias("scores.mean"),
        (chosen - rejected).alias("scores.gap"),
        pl.col("confidence").cast(pl.Float64).alias("scores.confidence"),
    )


def _row(category: str, chosen: float, rejected: float | None, scores: tuple[float, ...]) -> dict[str, Any]:
    said = {"category": category, "origin": "amber", "score_chosen": chosen, "score_rejected": rejected}
    return {**said, "scores": list(scores), "confidence": None}


def _facts(category: str, mean: float | None, gap: float | None) -> dict[str, Any]:  # Any: column values
    facts = {"scores.category": category, "scores.origin": "amber", "scores.mean": mean, "scores.gap": gap}
    return {**facts, "scores.confidence": None}


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (_row("math", 0.75, 0.25, ()), _row("math", 0.75, 0.25, (0.75, 0.5, 0.25, 0.0)), _row("", 0.5, None, ())),
    (_facts("math", 0.5, 0.5), _facts("math", 0.375, 0.5), _facts("", None, None)),
)
