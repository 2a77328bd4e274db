"""Quota: at most so many rows of one category or source, the best-scored first.

Formula  in each group keep the `most` highest mean scores; rows without a score come after all that have one; equal ones by row order
Source   ours: no category of a published mix may crowd out the others (Skywork's Magpie mix is half math; arXiv 2410.18451, table)
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.quota.most=5000
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.ledger.select import best_of_groups, codes_of

READS: tuple[str, ...] = ("scores.category", "scores.mean")  # written by reward/annotate/scores.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How many, of what."""

    most: int = 10_000
    """Rows kept in a group, at least 1."""
    by: Literal["category", "source"] = "category"
    """What a group is."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Raises BadInput for a quota below 1."""
    if config.most < 1:
        raise BadInput(f"quota: most={config.most}; it must be at least 1")
    code_N, _ = codes_of(ledger_N["scores.category" if config.by == "category" else "source"])
    score_N = ledger_N["scores.mean"].fill_null(float("-inf")).to_numpy()
    alive_N = ledger_N["alive"].to_numpy()
    best_N = best_of_groups(code_N, score_N, alive_N, lambda _group, _size: config.most)
    over = pl.Series(alive_N & ~best_N)
    return ledger_N.select(pl.when(over).then(pl.lit("over_quota")).alias("reason"))["reason"]


EXAMPLE_CONFIG: Config = Config(most=1)
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: column values
    ({"scores.category": "math", "scores.mean": 0.2}, "over_quota"),
    ({"scores.category": "math", "scores.mean": 0.9}, None),
    ({"scores.category": "chat", "scores.mean": None}, None),
    ({"scores.category": "chat", "scores.mean": None}, "over_quota"),
)
