"""Duplicates: of the rows alive that ask and say the same, keep the first.

Formula  drop when an earlier row that is still alive has the same duplicates.key
Source   ours
Flow     collect -> synthesize -> [curate: annotate -> DECIDE] -> train -> evaluate -> report
Run      skyloom run skywork_math
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.ledger.select import first_of_clusters

VERSION: int = 1
READS: tuple[str, ...] = ("duplicates.key",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Nothing to set."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Rows that are dropped already neither count nor get a reason."""
    del config
    first_N = pl.Series(first_of_clusters(ledger_N["duplicates.key"], ledger_N["alive"].to_numpy()))
    reason_N: pl.Expr = pl.when(pl.col("alive") & ~first_N).then(pl.lit("duplicate"))
    return ledger_N.select(reason_N.alias("reason"))["reason"]


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"duplicates.key": 7}, None),
    ({"duplicates.key": 8}, None),
    ({"duplicates.key": 7}, "duplicate"),
)
