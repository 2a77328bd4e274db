"""Correct: keep rows by P(correct), stratum by stratum, so that no level is drained; or by one bar for all.

Formula  bar: keep P >= min_p. Of every level (correct.stratum) the best by P are kept, as many as the larger of the rows above the bar
         and floor * rows; with `share`: share * rows, whatever the bar. floor=0 is one bar for all. Of equal P a hash of the row decides:
         most rows are as likely as others, and the earlier ones would be one augmenter's, on the first seeds
Source   Skywork-Math's filtered 1M rows lost to a random 1M, because the filter kept easy problems (arXiv 2407.08348, section 5);
         floor and share by level: ours
Flow     collect -> synthesize -> [curate: annotate/correct -> DECIDE] -> train -> evaluate -> report
Run      skyloom run skywork_math --set curate.correct.floor=0.5
Limits   A floor keeps wrong rows where a level is mostly wrong; the report shows P against what is known, and the share kept by level.
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.rng import mix

VERSION: int = 2
READS: tuple[str, ...] = ("row", "correct.p", "correct.stratum")

TIES: np.uint64 = np.uint64(0x71E5)
"""Any constant: rows of equal P stand in the order of their key hashed with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How strict to be, and how evenly."""

    min_p: float = 0.3
    """Least P(correct) that is kept without the floor's help, 0 to 1. Low (ours): training bears a fifth of wrong rows (arXiv 2410.01560),
    and a new question that no layer judged has the base rate of its kind, which is no evidence against it."""
    floor: float = 0.5
    """Least share of each level's living rows that is kept, 0 to 1, rounded up."""
    share: float | None = None
    """Share of each level's living rows that is kept, the best by P, rounded up; above 0 and at most 1. None: min_p and floor say."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for bars that mean nothing."""
        if not (0 <= self.min_p <= 1 and 0 <= self.floor <= 1):
            raise ValueError(f"min_p={self.min_p} and floor={self.floor} must lie within 0 and 1")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} must be above 0 and at most 1")


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Rows dropped already neither count nor get a reason."""
    chance_N = mix(ledger_N["row"].to_numpy().astype(np.uint64), TIES)
    order_N = np.argsort(chance_N, kind="stable")
    return _ranked(ledger_N[order_N], config)[np.argsort(order_N, kind="stable")]


def _ranked(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """Reasons of rows of which, where P is equal, the earlier is kept."""
    p_N: pl.Expr = pl.when("alive").then(pl.col("correct.p"))
    rank_N: pl.Expr = p_N.rank("ordinal", descending=True).over("correct.stratum")
    rows_N: pl.Expr = p_N.count().over("correct.stratum")
    likely_N: pl.Expr = p_N >= config.min_p
    least: float = config.floor if config.share is None else config.share
    among_N: pl.Expr = rank_N <= (least * rows_N - 1e-9).ceil()
    kept_N: pl.Expr = among_N | likely_N if config.share is None else among_N
    reason_N: pl.Expr = (
        pl.when(~pl.col("alive"))
        .then(None)
        .when(pl.col("correct.p").is_null())
        .then(pl.lit("unjudged"))
        .when(~kept_N)
        .then(pl.when(likely_N).then(pl.lit("outranked")).otherwise(pl.lit("unlikely")))
    )
    return ledger_N.select(reason_N.alias("reason"))["reason"]


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"correct.p": 0.9, "correct.stratum": "level 1"}, None),
    ({"correct.p": 0.2, "correct.stratum": "level 1"}, "unlikely"),
    ({"correct.p": 0.1, "correct.stratum": "level 5"}, "unlikely"),
    ({"correct.p": 0.3, "correct.stratum": "level 5"}, None),
    ({"correct.p": None, "correct.stratum": None}, "unjudged"),
)
