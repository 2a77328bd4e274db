"""Duplicates: keep the first of equal pairs; drop every copy of a pair that stands there with both labels.

Formula  drop where the cluster contradicts itself, else where an earlier living row is in the same cluster
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.ledger.select import first_of_clusters

READS: tuple[str, ...] = (
    "duplicates.cluster",
    "duplicates.contradicts",
)  # written by reward/annotate/exact_duplicates.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What to do with contradictions."""

    drop_contradictions: bool = True
    """False keeps the first pair of a contradicting cluster; ours: which label is right, nobody can tell."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    cluster, alive = pl.col("duplicates.cluster"), pl.col("alive")
    # Only the living count: a row that an earlier decider dropped must not take its twin along.
    first = pl.Series(first_of_clusters(ledger_N["duplicates.cluster"], ledger_N["alive"].to_numpy()))
    reason = (
        pl.when(~alive | cluster.is_null())
        .then(None)
        .when(pl.lit(config.drop_contradictions) & pl.col("duplicates.contradicts"))
        .then(pl.lit("contradicting_labels"))
        .when(~first)
        .then(pl.lit("duplicate"))
    )
    return ledger_N.select(reason.alias("reason"))["reason"]


def _row(cluster: int, contradicts: bool, alive: bool = True) -> dict[str, Any]:  # Any: column values
    return {"duplicates.cluster": cluster, "duplicates.contradicts": contradicts, "alive": alive}


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(0, False), None),
    (_row(1, True), "contradicting_labels"),
    (_row(0, False), "duplicate"),
    (_row(1, True), "contradicting_labels"),
    (_row(4, False), None),
)
