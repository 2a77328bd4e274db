"""Contamination: drop a row that, itself or through its seed, shows a benchmark item.

Formula  drop when contamination.hits > max_hits, or when the row was never looked at
Source   Skywork-Math drops every row with a 30-gram hit (arXiv 2407.08348, section 4)
Flow     collect -> synthesize -> [curate: annotate -> DECIDE] -> train -> evaluate -> report
Run      skyloom run skywork_math --set curate.contamination.max_hits=0
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

VERSION: int = 1
READS: tuple[str, ...] = ("contamination.hits",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How much overlap is tolerated."""

    max_hits: int = 0
    """Most benchmark items that a kept row may hit."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    hits_N: pl.Expr = pl.col("contamination.hits")
    reason_N: pl.Expr = (
        pl.when(hits_N.is_null()).then(pl.lit("unchecked")).when(hits_N > config.max_hits).then(pl.lit("contaminated"))
    )
    return ledger_N.select(reason_N.alias("reason"))["reason"]


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"contamination.hits": 0}, None),
    ({"contamination.hits": 2}, "contaminated"),
    ({"contamination.hits": None}, "unchecked"),
)
