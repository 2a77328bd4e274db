"""Question kind: drop problems that ask for a proof, a choice or several results, cannot be answered, or are written in broken LaTeX.

Formula  drop when kind.X is true for an X of `drop`, the first of them being the reason; when one of them is null: unclassified
Source   Skywork-Math seeds from non-proving problems only (arXiv 2407.08348, section 3.2); the other kinds are ours
Flow     collect -> [choose seeds: annotate/question_kind -> DECIDE] -> synthesize -> curate -> train -> evaluate -> report
Run      --set 'synthesize.passes.0.select.1.drop=["proof", "unanswerable"]'
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig
from skyloom.mathqa.kinds import KINDS, Kind

VERSION: int = 1
READS: tuple[str, ...] = tuple(f"kind.{name}" for name in KINDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What is dropped."""

    drop: tuple[Kind, ...] = KINDS
    """Kinds that are dropped; the order gives the reason of a row of several kinds."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    reasons: list[pl.Expr] = [pl.when(pl.col(f"kind.{name}")).then(pl.lit(name)) for name in config.drop]
    unread: list[pl.Expr] = [
        pl.when(pl.col(f"kind.{name}").is_null()).then(pl.lit("unclassified")) for name in config.drop
    ]
    reason_N: pl.Expr = pl.coalesce(*reasons, *unread, pl.lit(None, pl.String))
    return ledger_N.select(reason_N.alias("reason"))["reason"]


_PLAIN: dict[str, Any] = {f"kind.{name}": False for name in KINDS}
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (
    (_PLAIN, None),
    ({**_PLAIN, "kind.proof": True, "kind.parts": True}, "proof"),
    ({**_PLAIN, "kind.broken_latex": True}, "broken_latex"),
    ({**_PLAIN, "kind.parts": None}, "unclassified"),
)
