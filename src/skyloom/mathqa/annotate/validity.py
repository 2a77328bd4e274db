"""Validity: is the row's question a problem at all? Missing condition, several answers, contradiction, unsolvable.

Formula  score = 1 - product over the evidence of (1 - its score); entropy over classes of equal votes, in bits. Evidence
         (mathqa/validity.py) that names a fault: rules over the text, answers that cannot be, the solver's own words; doubts: votes that
         scatter, and masked numbers none of which came back although no answer has more votes than the row's (annotate/backward).
         kind = that of the strongest evidence that names one, else of the strongest doubt. Where all masked numbers came back,
         scattered votes are not held against the question
Source   ours; backward failures as doubt: FOBAR (Jiang et al. 2023, arXiv 2308.07758)
Flow     collect -> synthesize -> [curate: annotate/backward -> ANNOTATE -> decide/validity] -> train -> evaluate -> report
Run      skyloom run skywork_math
Limits   Without votes and without formulas little is seen: a story that leaves a number out is found by its votes. What fools every vote in
         the same way is not found. Scores rank; they are no probabilities.
Shapes   N rows
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.mathqa.validity import Evidence, classes, entropy, in_answers, in_text, in_votes, in_words
from skyloom.mathqa.verify.grading import grade

KIND: str = "map"
VERSION: int = 2
READS: tuple[str, ...] = ("question", "response", "answer", "votes", "backward.asked", "backward.right")
WRITES: dict[str, pl.DataType] = {
    "validity.kind": pl.String(),  # null: nothing speaks against it
    "validity.score": pl.Float64(),  # 0 to 1
    "validity.evidence": pl.String(),  # kind: words; what names a fault before doubts, strongest first
    "validity.entropy": pl.Float64(),  # bits; null with fewer than two votes
}
BACKWARD: float = 0.2
"""Score of masked numbers that did not come back (ours): wrong answers do that too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Facts alone: which kinds and scores drop a row is the decider's setting."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """The likeliest fault of each question and what speaks for it: a score of 0 to 1, an entropy of 0 bits or more."""
    del config
    return pl.DataFrame([_row(row) for row in rows_N.iter_rows(named=True)], schema=WRITES)


def _row(row: Mapping[str, Any]) -> dict[str, str | float | None]:  # Any: column values
    question, answer, votes = row["question"], row["answer"], list(row["votes"] or ())
    found: list[Evidence] = [
        *in_text(question),
        *in_answers(question, answer, votes),
        *in_words(question, row["response"], answer, votes),
    ]
    voted: list[tuple[str, int]] = classes(votes)
    sizes: list[int] = [count for _, count in voted]
    doubts: list[Evidence] = in_votes(sizes)
    if row["backward.asked"]:
        if row["backward.right"] == row["backward.asked"]:
            doubts = []
        elif not row["backward.right"] and _leads(answer, voted):
            doubts.append(Evidence("missing_condition", BACKWARD, "no masked number came back"))
    ordered = [*sorted(found, key=_weakness), *sorted(doubts, key=_weakness)]
    return {
        "validity.kind": ordered[0].kind if ordered else None,
        "validity.score": 1 - prod(1 - each.score for each in ordered),
        "validity.evidence": "; ".join(f"{each.kind}: {each.words}" for each in ordered) or None,
        "validity.entropy": entropy(sizes) if len(votes) > 1 else None,
    }


def _leads(answer: str, voted: list[tuple[str, int]]) -> bool:
    """Has no other answer more votes? With a wrong answer numbers do not come back either."""
    return not voted or any(grade(known, answer).equal for known, count in voted if count == voted[0][1])


def _weakness(evidence: Evidence) -> float:
    return -evidence.score


_PLAIN: dict[str, Any] = {"response": "7-3=4\nThe answer is 4", "backward.asked": None, "backward.right": None}
EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (
    (
        {**_PLAIN, "question": "Solve x + 3 = 7 for x.", "answer": "4", "votes": ["4", "4.0"]},
        {**_PLAIN, "question": "If x^2 = 49, what is the value of x?", "answer": "7", "votes": ["7"]},
        {**_PLAIN, "question": "Tom has some cats and gets 3. How many has he?", "answer": "4", "votes": list("4567")},
    ),
    (
        {"validity.kind": None, "validity.score": 0.0, "validity.evidence": None, "validity.entropy": 0.0},
        {
            "validity.kind": "several_answers",
            "validity.score": 0.9,
            "validity.evidence": "several_answers: two roots: x^2 = 49",
            "validity.entropy": None,
        },
        {
            "validity.kind": "missing_condition",
            "validity.score": 0.75,
            "validity.evidence": "missing_condition: votes 1 + 1 + 1 + 1",
            "validity.entropy": 2.0,
        },
    ),
)
