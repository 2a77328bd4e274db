"""Near duplicates: of questions that nearly repeat one another, keep the rows of the one that came first.

Formula  in row order: drop all rows of a question where the question that `near_duplicates.like` names has a living row and was
         kept. So the ends of a chain A ~ B ~ C stay when B alone is dropped
Source   ours
Flow     collect -> synthesize -> [curate: annotate -> DECIDE] -> train -> evaluate -> report
Run      skyloom run skywork_math
Limits   Rows of one question are copies only where their responses are equal too: decide/duplicates
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

VERSION: int = 2
READS: tuple[str, ...] = ("near_duplicates.question", "near_duplicates.like")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Nothing to set."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Rows that are dropped already neither count nor get a reason."""
    del config
    question, like = map(pl.col, READS)
    # In ledger order, dropped rows too: which question came first must not hang on which of its rows are still alive.
    asked = ledger_N.filter(question.is_not_null()).group_by(question, maintain_order=True)
    living = asked.agg(like.first(), pl.col("alive").any()).filter("alive")
    kept: set[int] = set()
    dropped: list[int] = []
    for each, other in living.select(READS).iter_rows():
        if other in kept:
            dropped.append(each)
        else:
            kept.add(each)
    reason_N: pl.Expr = pl.when(pl.col("alive") & question.is_in(dropped)).then(pl.lit("near_duplicate"))
    return ledger_N.select(reason_N.alias("reason"))["reason"]


def _row(question: int, like: int | None) -> dict[str, Any]:  # Any: column values
    return dict(zip(READS, (question, like), strict=True))


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(4, None), None),
    (_row(5, 4), "near_duplicate"),
    (_row(5, 4), "near_duplicate"),
    (_row(6, 5), None),  # the question that it is like is gone
)
