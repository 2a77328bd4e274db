"""Drop a game that repeats an earlier one.

Flow    collect -> [curate: annotate -> DECIDE -> materialise] -> train -> evaluate -> report
Shapes  N rows of the ledger
"""

from dataclasses import dataclass

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("duplicate.copy",)  # written by starcraft/annotate/duplicate.py
EXAMPLE: tuple[tuple[dict[str, object], str | None], ...] = (
    ({"duplicate.copy": False}, None),
    ({"duplicate.copy": True}, "duplicate"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Nothing to set."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    del config
    return ledger_N.select(pl.when(pl.col("duplicate.copy")).then(pl.lit("duplicate")).alias("reason"))["reason"]
