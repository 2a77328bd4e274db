"""Exact duplicates: games whose whole content stands in the ledger already, under whatever name.

Formula  copy = an earlier row that is still alive has the same 128-bit content hash
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train -> evaluate -> report
Shapes   N games
"""

from dataclasses import dataclass

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig

KIND = "fit"
READS: tuple[str, ...] = ("content",)
WRITES: dict[str, pl.DataType] = {"duplicate.copy": pl.Boolean()}
EXAMPLE: tuple[tuple[dict[str, object], ...], tuple[dict[str, object], ...]] = (
    ({"content": b"one"}, {"content": b"two"}, {"content": b"one"}),
    ({"duplicate.copy": False}, {"duplicate.copy": False}, {"duplicate.copy": True}),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Whether each game repeats an earlier one."""
    del config
    return rows_N.select((~pl.col("content").is_first_distinct()).alias("duplicate.copy"))
