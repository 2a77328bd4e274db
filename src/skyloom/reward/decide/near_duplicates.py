"""Near duplicates: drop a pair that resembles an earlier living one; drop all of a pair that nearly stands there with both labels.

Formula  in row order: drop where `near.contradicts`, else where the row that `near.like` names is alive and was kept. So the ends of a
         chain A ~ B ~ C stay when B alone is dropped: a cluster is never taken for one pair
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_clean --smoke
Shapes   N rows of the ledger, L rows that resemble one
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("near.like", "near.contradicts")  # written by reward/annotate/near_duplicates.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What to do with contradictions."""

    drop_contradictions: bool = True
    """False treats them as near duplicates: the first stays; ours: which label is right, nobody can tell."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    alive_N = ledger_N["alive"].to_numpy()
    contradicts_N = alive_N & ledger_N["near.contradicts"].fill_null(False).to_numpy() & config.drop_contradictions
    kept_N = alive_N & ~contradicts_N
    row_N = ledger_N["row"].to_numpy()
    order_N = np.argsort(row_N, kind="stable")
    second_L = np.flatnonzero(kept_N & ledger_N["near.like"].is_not_null().to_numpy())
    like_L = ledger_N["near.like"].gather(second_L).to_numpy()
    first_L = order_N[np.minimum(np.searchsorted(row_N, like_L, sorter=order_N), len(row_N) - 1)]
    there_L = row_N[first_L] == like_L  # a row that is not in the ledger drops nothing
    near_N = np.zeros(len(row_N), bool)
    for first, second in zip(first_L[there_L].tolist(), second_L[there_L].tolist(), strict=True):
        if kept_N[first]:
            kept_N[second], near_N[second] = False, True
    reason = (
        pl.when(pl.Series(contradicts_N))
        .then(pl.lit("near_contradicting_labels"))
        .when(pl.Series(near_N))
        .then(pl.lit("near_duplicate"))
    )
    return ledger_N.select(reason.alias("reason"))["reason"]


def _row(row: int, like: int | None, contradicts: bool = False) -> dict[str, Any]:  # Any: column values
    return {"row": row, "near.like": like, "near.contradicts": contradicts}


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(7, None), None),
    (_row(8, 7), "near_duplicate"),
    (_row(9, 8), None),  # the row that it resembles is gone
    (_row(10, None, contradicts=True), "near_contradicting_labels"),
    (_row(11, 10, contradicts=True), "near_contradicting_labels"),
)
