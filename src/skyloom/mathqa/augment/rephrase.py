"""Rephrase: the teacher puts the question in other words, then solves what it wrote.

Source   question rephrasing of MetaMath (Yu et al. 2023, arXiv 2309.12284, section 3.2); one of the three families of Skywork-Math
         (arXiv 2407.08348, section 3.1)
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report; two calls a row
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator rephrase ...
Limits   The seed's answer holds only while the meaning does. A number that went missing is seen here; a changed question shows as a
         wrong answer in annotate/verify.
"""

from dataclasses import dataclass
from pathlib import Path

from skyloom.core.text.normal import normal
from skyloom.mathqa.masking import loses
from skyloom.mathqa.operators import (
    ANSWER,
    AugmentConfig,
    Call,
    Draft,
    Example,
    Job,
    Program,
    Recorded,
    Refused,
    Slots,
    behind,
    closed,
)
from skyloom.mathqa.records import MARK, Problem

VERSION: int = 3
OPENING: str = "New problem:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AugmentConfig):
    """Settings of the calls; nothing of its own."""


def reworded(reply: str, slots: Slots) -> Slots:
    """`new`; refuses unclosed, empty, no_mark, solved (the reply gives the answer away), unchanged and lost_numbers."""
    question: str = behind(closed(reply), OPENING)
    if MARK.strip() in question:
        raise Refused("solved")
    if normal(question) == normal(slots["question"]):
        raise Refused("unchanged")
    if loses(question, slots["question"]):
        raise Refused("lost_numbers")
    return {"new": question}


REPHRASE: Call = Call("rephrase", Path(__file__).with_suffix(".toml"), ("new",), reworded)
CALLS: tuple[Call, ...] = (REPHRASE, ANSWER)


def make(job: Job, config: AugmentConfig) -> Program:
    """The new wording with the teacher's solution of it; the teacher does not see the old one when it solves."""
    del config
    seed: Problem = job.problem
    found = yield REPHRASE(question=seed.question)
    solved = yield ANSWER(question=found["new"])
    yield Draft(found["new"], solved["response"], solved["answer"], gold=seed.answer, meaning=seed.question)


_SEED: Slots = {"question": "Solve x + 3 = 7 for x."}
_GOOD: str = "New problem: Which number plus 3 gives 7?\n[end]"
EXAMPLE: Example = Example(
    problem=Problem(
        question=_SEED["question"], answer="4", solution="7-3=4\nThe answer is 4", level=1, subject="Algebra"
    ),
    config=Config(),
    replies=(_GOOD, "7-3=4\nThe answer is 4\n[end]"),
    drafts=(Draft("Which number plus 3 gives 7?", "7-3=4\nThe answer is 4", "4", gold="4", meaning=_SEED["question"]),),
    recorded=(
        Recorded(REPHRASE, _GOOD, {"new": "Which number plus 3 gives 7?"}, _SEED),
        Recorded(REPHRASE, "New problem: Which number plus 3 gi", "unclosed", _SEED),
        Recorded(REPHRASE, "Which number plus 3 gives 7?\n[end]", "no_mark", _SEED),
        Recorded(REPHRASE, "New problem:\n[end]", "empty", _SEED),
        Recorded(REPHRASE, "New problem: Which number plus 3 gives 7? The answer is 4\n[end]", "solved", _SEED),
        Recorded(REPHRASE, "New problem: solve x + 3 = 7 for x\n[end]", "unchanged", _SEED),
        Recorded(REPHRASE, "New problem: Which number plus 3 gives 9?\n[end]", "lost_numbers", _SEED),
    ),
)
