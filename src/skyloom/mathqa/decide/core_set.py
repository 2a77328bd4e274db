"""Core set: keep the rows that k-center picked first; the others lie near one of them.

Formula  keep when core_set.rank < k
Source   core-set selection of Skywork-Math (arXiv 2407.08348, section 3.2); k is not stated in the paper
Flow     collect -> synthesize -> [select: annotate -> DECIDE] -> synthesize again
Run      skyloom run skywork_math
Shapes   N rows of the ledger
"""

import math
from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig

VERSION: int = 1
READS: tuple[str, ...] = ("core_set.rank",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How many rows are kept; with neither, all that were picked."""

    k: int | None = None
    """Rows to keep, all where fewer are alive."""
    share: float | None = None
    """Share of the living rows to keep, rounded up; above 0 and at most 1; used where `k` is None."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that keep nothing."""
        if self.k is not None and self.k < 1:
            raise ValueError(f"k={self.k} must be at least 1")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} must be above 0 and at most 1")


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Raises BadInput where more rows are asked for than were picked."""
    rank_N: pl.Series = ledger_N["core_set.rank"]
    living: int = int(ledger_N["alive"].sum())
    picked: int = rank_N.count()
    limit: int = picked
    if config.k is not None:
        limit = min(config.k, living)
    elif config.share is not None:
        limit = math.ceil(config.share * living - 1e-9)
    if limit > picked:
        raise BadInput(
            f"core_set: {limit:,} rows are to be kept and {picked:,} were picked; raise k or share of the annotator core_set"
        )
    kept_N: pl.Expr = (pl.col("core_set.rank") < limit).fill_null(value=False)
    reason_N: pl.Expr = pl.when(pl.col("alive") & ~kept_N).then(pl.lit("covered"))
    return ledger_N.select(reason_N.alias("reason"))["reason"]


EXAMPLE_CONFIG: Config = Config(k=2)
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"core_set.rank": 0}, None),
    ({"core_set.rank": None}, "covered"),
    ({"core_set.rank": 2}, "covered"),
    ({"core_set.rank": 1}, None),
)
