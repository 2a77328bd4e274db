"""Too long: drop a row that would not fit the training length, so that nothing is cut silently later.

Formula  drop when length.question + length.response > max_words
Source   ours; Skywork-Math trains on at most 2,048 tokens (arXiv 2407.08348, section 4), about 1,200 words of mathematics
Flow     collect -> synthesize -> [curate: annotate -> DECIDE] -> train -> evaluate -> report
Run      skyloom run skywork_math --set curate.too_long.max_words=600
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

VERSION: int = 1
READS: tuple[str, ...] = ("length.question", "length.response")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Where the line is."""

    max_words: int = 1_200
    """Most words of question and response together."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    words_N: pl.Expr = pl.col("length.question") + pl.col("length.response")
    return ledger_N.select(pl.when(words_N > config.max_words).then(pl.lit("too_long")).alias("reason"))["reason"]


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"length.question": 20, "length.response": 100}, None),
    ({"length.question": 20, "length.response": 5_000}, "too_long"),
)
