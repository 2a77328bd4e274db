"""Verify: is the row's answer the seed's gold answer, and how many of its votes agree with it?

Formula  equal = grade(gold, answer), null for a new question, which has no gold; agreement = share of the row's votes that are equal to
         its own answer
Source   answer filtering of MetaMath (arXiv 2309.12284, section 3.1); agreement: self-consistency (Wang et al. 2022, 2203.11171)
Flow     collect -> synthesize -> [curate: ANNOTATE -> decide/wrong_answer] -> train -> evaluate -> report
Run      skyloom run skywork_math
Limits   The gold holds only if the operator kept the question's meaning; a changed question with a right answer reads as wrong.
Shapes   N rows
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.mathqa.verify.grading import grade

KIND: str = "map"
VERSION: int = 4
READS: tuple[str, ...] = ("gold", "answer", "votes")
WRITES: dict[str, pl.DataType] = {
    "verify.equal": pl.Boolean(),
    "verify.by": pl.String(),
    "verify.agreement": pl.Float64(),
}


NO_GOLD: str = "no_gold"
"""What decides about a new question's answer: nothing yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """There is one grader and it has no settings."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The grader's verdict and the rule behind it; agreement from 0 to 1, null for a row without votes."""
    del config
    return pl.DataFrame([_row(row) for row in rows_N.iter_rows(named=True)], schema=WRITES)


def _row(row: Mapping[str, Any]) -> dict[str, bool | str | float | None]:  # Any: column values
    verdict = None if row["gold"] is None else grade(row["gold"], row["answer"])
    votes: list[str] = list(row["votes"] or ())
    same: int = sum(vote == row["answer"] or grade(row["answer"], vote).equal for vote in votes)
    agreement: float | None = same / len(votes) if votes else None
    equal, by = (None, NO_GOLD) if verdict is None else (verdict.equal, verdict.by)
    return {"verify.equal": equal, "verify.by": by, "verify.agreement": agreement}


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (
    (
        {"gold": "4", "answer": "4", "votes": ["4", "5"]},
        {"gold": "4", "answer": "5", "votes": ["5"]},
        {"gold": None, "answer": "7", "votes": ["7", "7", "8", "9"]},
    ),
    (
        {"verify.equal": True, "verify.by": "form", "verify.agreement": 0.5},
        {"verify.equal": False, "verify.by": "number", "verify.agreement": 1.0},
        {"verify.equal": None, "verify.by": "no_gold", "verify.agreement": 0.5},
    ),
)
