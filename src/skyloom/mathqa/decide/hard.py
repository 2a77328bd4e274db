"""Hard: keep problems that are hard by the level of their data set, by measured pass rate, or by either.

Formula  hard by level: level >= min_level; measured: tried >= min_tried and right / tried <= max_pass_rate
Source   stage 2 of Skywork-Math starts from MATH problems of level 4 and 5 (arXiv 2407.08348, section 3.2; section 4.2.2 says 3 to 5);
         measured difficulty as in DART-Math (2407.13690); the bars of `measured` are ours
Flow     collect -> synthesize -> [select: annotate -> DECIDE] -> synthesize the hard pass
Run      skyloom run skywork_math
Limits   A pass rate of few tries is rough: of 4, its standard error is up to 0.25.
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

VERSION: int = 1
READS: tuple[str, ...] = ("pass_rate.level", "pass_rate.right", "pass_rate.tried")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What counts as hard."""

    by: Literal["level", "measured", "either"] = "level"
    """Which measure decides; `either` keeps what one of them calls hard."""
    min_level: int = 4
    """Lowest level that is hard, 1 to 5."""
    max_pass_rate: float = 0.5
    """Largest share of right answers that is hard, 0 to 1."""
    min_tried: int = 4
    """Fewest answers that measure a problem."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for bars that mean nothing."""
        if not 1 <= self.min_level <= 5:
            raise ValueError(f"min_level={self.min_level} must be 1 to 5")
        if not 0 <= self.max_pass_rate <= 1:
            raise ValueError(f"max_pass_rate={self.max_pass_rate} must be 0 to 1")
        if self.min_tried < 1:
            raise ValueError(f"min_tried={self.min_tried} must be at least 1")


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. A problem that no chosen measure knows is unmeasured, not easy."""
    right_N, tried_N = pl.col("pass_rate.right"), pl.col("pass_rate.tried")
    level_N: pl.Expr = pl.col("pass_rate.level") >= config.min_level
    measured_N: pl.Expr = pl.when(tried_N >= config.min_tried).then(right_N <= config.max_pass_rate * tried_N)
    hard_N: pl.Expr = {"level": level_N, "measured": measured_N, "either": pl.max_horizontal(level_N, measured_N)}[
        config.by
    ]
    reason_N: pl.Expr = pl.when(hard_N.is_null()).then(pl.lit("unmeasured")).when(~hard_N).then(pl.lit("easy"))
    return ledger_N.select(reason_N.alias("reason"))["reason"]


def _row(level: int | None, right: int, tried: int) -> dict[str, Any]:  # Any: column values
    return dict(zip(READS, (level, right, tried), strict=True))


EXAMPLE_CONFIG: Config = Config(by="either")
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(5, 4, 4), None),
    (_row(2, 1, 4), None),
    (_row(2, 4, 4), "easy"),
    (_row(2, 0, 1), "easy"),
    (_row(None, 0, 4), None),
    (_row(None, 3, 4), "easy"),
    (_row(None, 0, 1), "unmeasured"),
)
