"""Rephrase: the teacher puts the question in other words, then solves what it wrote.

Source   question rephrasing of MetaMath (Yu et al. 2023, arXiv 2309.12284, section 3.2); one of the three families of Skywork-Math
         (arXiv 2407.08348, section 3.1)
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report; two calls a row
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator rephrase ...
Limits   The seed's answer holds only while the meaning does: a changed number shows as a wrong answer in annotate/verify.
"""

from dataclasses import dataclass
from pathlib import Path

from skyloom.core.records import Message
from skyloom.core.text.normal import normal
from skyloom.mathqa.operators import (
    AugmentConfig,
    Draft,
    Recorded,
    Refused,
    Slots,
    Stage,
    behind,
    closed,
    messages,
    solution,
)
from skyloom.mathqa.records import MARK, Problem

VERSION: int = 1
TEMPLATE: Path = Path(__file__).with_suffix(".toml")
ANSWER_TEMPLATE: Path = Path(__file__).with_name("answer_augment.toml")
OPENING: str = "New problem:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AugmentConfig):
    """Settings of the calls; nothing of its own."""


def ask_rewording(problem: Problem, slots: Slots) -> tuple[Message, ...]:
    """Ask for the problem in other words."""
    del slots  # the first stage
    return messages(TEMPLATE, {"question": problem.question})


def read_rewording(reply: str, problem: Problem, slots: Slots) -> Slots:
    """`question`; refuses unclosed, empty, no_mark, solved (the reply gives the answer away) and unchanged."""
    del slots
    question: str = behind(closed(reply), OPENING)
    if MARK.strip() in question:
        raise Refused("solved")
    if normal(question) == normal(problem.question):
        raise Refused("unchanged")
    return {"question": question}


def ask_answer(problem: Problem, slots: Slots) -> tuple[Message, ...]:
    """Ask for a solution of the new wording; the teacher does not see the old one."""
    del problem
    return messages(ANSWER_TEMPLATE, {"question": slots["question"]})


def read_answer(reply: str, problem: Problem, slots: Slots) -> Slots:
    """`response` and `answer`; refuses unclosed, empty, no_answer and no_working."""
    del problem, slots
    return solution(reply)


STAGES: tuple[Stage, ...] = (Stage("rephrase", ask_rewording, read_rewording), Stage("answer", ask_answer, read_answer))


def build(problem: Problem, slots: Slots) -> Draft:
    """The new wording with the teacher's solution of it."""
    del problem
    return Draft(slots["question"], slots["response"], slots["answer"])


EXAMPLE: tuple[Problem, tuple[Recorded, ...]] = (
    Problem(
        question="Solve x + 3 = 7 for x.", answer="4", solution="7-3=4\nThe answer is 4", level=1, subject="Algebra"
    ),
    (
        Recorded(0, "New problem: Which number plus 3 gives 7?\n[end]", {"question": "Which number plus 3 gives 7?"}),
        Recorded(0, "New problem: Which number plus 3 gi", "unclosed"),
        Recorded(0, "Which number plus 3 gives 7?\n[end]", "no_mark"),
        Recorded(0, "New problem:\n[end]", "empty"),
        Recorded(0, "New problem: Which number plus 3 gives 7? The answer is 4\n[end]", "solved"),
        Recorded(0, "New problem: solve x + 3 = 7 for x\n[end]", "unchanged"),
        Recorded(
            1,
            "7-3=4\nThe answer is 4\n[end]",
            {"response": "7-3=4\nThe answer is 4", "answer": "4"},
            {"question": "Which number plus 3 gives 7?"},
        ),
        Recorded(1, "7-3=4\nThe answer i", "unclosed", {"question": "Which number plus 3 gives 7?"}),
    ),
)
