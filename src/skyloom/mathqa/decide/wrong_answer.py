"""Wrong answer: drop a row whose answer is not its gold, and a row with too few votes for it.

Formula  drop when not verify.equal, or verify.agreement < min_agreement; a new question, which has no gold, is judged by its votes alone
Source   MetaMath keeps answers equal to the gold only (arXiv 2309.12284); Skywork-Math itself kept about half its rows wrong
         (2407.08348, section 3): set curate without this decider for the paper's own data
Flow     collect -> synthesize -> [curate: annotate -> DECIDE] -> train -> evaluate -> report
Run      skyloom run skywork_math --set curate.wrong_answer.min_agreement=0.5
Limits   Hard problems lose more rows; the report shows the share kept by level.
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

VERSION: int = 2
READS: tuple[str, ...] = ("verify.equal", "verify.by", "verify.agreement")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How strict to be."""

    min_agreement: float = 0.0
    """Smallest share of votes that must agree with the answer, 0 to 1; rows without votes pass."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    reason_N: pl.Expr = (
        pl.when(pl.col("verify.by").is_null())
        .then(pl.lit("unverified"))
        .when(~pl.col("verify.equal"))
        .then(pl.lit("wrong_answer"))
        .when(pl.col("verify.agreement") < config.min_agreement)
        .then(pl.lit("votes_disagree"))
    )
    return ledger_N.select(reason_N.alias("reason"))["reason"]


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"verify.equal": True, "verify.by": "form", "verify.agreement": 1.0}, None),
    ({"verify.equal": False, "verify.by": "form", "verify.agreement": 1.0}, "wrong_answer"),
    ({"verify.equal": True, "verify.by": "form", "verify.agreement": None}, None),
    ({"verify.equal": None, "verify.by": "no_gold", "verify.agreement": 0.5}, None),
    ({"verify.equal": None, "verify.by": None, "verify.agreement": None}, "unverified"),
)
