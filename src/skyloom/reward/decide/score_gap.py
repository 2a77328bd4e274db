"""Score gap: keep a pair where the source's own scores say that the chosen side is the better one, by more than a minimum.

Formula  keep where score(chosen) - score(rejected) > minimum; at 0 that drops ties and pairs that the scores contradict
Source   Skywork-Reward's HelpSteer2 rule: helpfulness(chosen) > helpfulness(rejected), ties dropped (arXiv 2410.18451)
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.score_gap.minimum=1
Shapes   N rows of the ledger
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("scores.gap",)  # written by reward/annotate/scores.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How large a gap, and what of rows without one."""

    minimum: float = 0.0
    """Gap that must be exceeded, in the source's score units, at least 0."""
    unscored: Literal["keep", "drop"] = "drop"
    """What happens to rows without two scores."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Raises BadInput for a minimum below 0."""
    if not 0 <= config.minimum < math.inf:
        raise BadInput(f"score_gap: minimum={config.minimum}; it must be at least 0")
    gap = pl.col("scores.gap")
    reason = (
        pl.when(~pl.col("alive"))
        .then(None)
        .when(gap.is_null())
        .then(pl.lit("unscored") if config.unscored == "drop" else None)
        .when(gap <= config.minimum)
        .then(pl.lit("no_score_gap"))
    )
    return ledger_N.select(reason.alias("reason"))["reason"]


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: column values
    ({"scores.gap": 1.0}, None),
    ({"scores.gap": 0.0}, "no_score_gap"),
    ({"scores.gap": -2.0}, "no_score_gap"),
    ({"scores.gap": None}, "unscored"),
)
