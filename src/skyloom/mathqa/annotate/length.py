"""Length: words of the question and the response, and steps of the response.

Formula  words = runs without white space; steps = lines of the response before the last one, which holds the answer
Source   ours; about 5% of Skywork-MathQA is longer than 512 tokens (arXiv 2407.08348, section 4)
Flow     collect -> synthesize -> [curate: ANNOTATE -> decide/too_long] -> train -> evaluate -> report
Run      skyloom run skywork_math
Shapes   N rows
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "map"
VERSION: int = 1
READS: tuple[str, ...] = ("question", "response")
WRITES: dict[str, pl.DataType] = {
    "length.question": pl.Int64(),
    "length.response": pl.Int64(),
    "length.steps": pl.Int64(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Counts, each 0 or more."""
    del config
    words: list[pl.Expr] = [
        pl.col(name).str.count_matches(r"\S+").cast(pl.Int64).alias(f"length.{name}")
        for name in ("question", "response")
    ]
    return rows_N.select(*words, pl.col("response").str.count_matches("\n").cast(pl.Int64).alias("length.steps"))


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (
    ({"question": "Solve x + 3 = 7 for x.", "response": "7-3=4\nThe answer is 4"},),
    ({"length.question": 8, "length.response": 5, "length.steps": 1},),
)
