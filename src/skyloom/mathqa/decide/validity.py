"""Validity: drop rows whose question is no problem: a condition missing, several answers, a contradiction, unsolvable.

Formula  drop when validity.score >= least and validity.kind is one of `drop`; the kind is the reason
Source   ours
Flow     collect -> synthesize -> [curate: annotate/validity -> DECIDE] -> train -> evaluate -> report
Run      --set curate.validity.least=0.8
Limits   A hard problem that the teacher mostly fails scatters its votes as a bad one does: the report shows the share kept by level.
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig
from skyloom.mathqa.validity import KINDS, Kind

VERSION: int = 1
READS: tuple[str, ...] = ("validity.kind", "validity.score")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What is dropped, and how sure one has to be."""

    drop: tuple[Kind, ...] = KINDS
    """Kinds that are dropped."""
    least: float = 0.6
    """Smallest score that drops a row, above 0 and at most 1 (ours; experiments/mathqa_validity.py)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a score that would drop everything or nothing."""
        if not 0 < self.least <= 1:
            raise ValueError(f"least={self.least} must lie above 0 and at most at 1")


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    found: pl.Expr = pl.col("validity.kind").is_in(list(config.drop)) & (pl.col("validity.score") >= config.least)
    reason_N: pl.Expr = (
        pl.when(pl.col("validity.score").is_null())
        .then(pl.lit("unannotated"))
        .when(found)
        .then(pl.col("validity.kind"))
    )
    return ledger_N.select(reason_N.alias("reason"))["reason"]


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"validity.kind": None, "validity.score": 0.0}, None),
    ({"validity.kind": "missing_condition", "validity.score": 0.75}, "missing_condition"),
    ({"validity.kind": "several_answers", "validity.score": 0.3}, None),
    ({"validity.kind": None, "validity.score": None}, "unannotated"),
)
