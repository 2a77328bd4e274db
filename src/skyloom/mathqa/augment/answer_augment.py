"""Answer augmentation: the question stays, the teacher works out a fresh solution.

Source   AnsAug of MetaMath (Yu et al. 2023, arXiv 2309.12284, section 3.1); Skywork-Math (arXiv 2407.08348) uses it unchanged
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator answer_augment ...
Limits   Zero-shot; the paper's few-shot texts are not published. Wrong answers are dropped later, by decide/wrong_answer.
"""

from dataclasses import dataclass
from pathlib import Path

from skyloom.core.records import Message
from skyloom.mathqa.operators import AugmentConfig, Draft, Recorded, Slots, Stage, messages, solution
from skyloom.mathqa.records import Problem

VERSION: int = 1
TEMPLATE: Path = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AugmentConfig):
    """Settings of the calls; nothing of its own."""


def prompt(problem: Problem, slots: Slots) -> tuple[Message, ...]:
    """Ask for a solution of the problem."""
    del slots  # the first stage
    return messages(TEMPLATE, {"question": problem.question})


def parse(reply: str, problem: Problem, slots: Slots) -> Slots:
    """`response` and `answer`; refuses unclosed, empty, no_answer and no_working."""
    del problem, slots
    return solution(reply)


STAGES: tuple[Stage, ...] = (Stage("answer", prompt, parse),)


def build(problem: Problem, slots: Slots) -> Draft:
    """The seed's question with the teacher's solution."""
    return Draft(problem.question, slots["response"], slots["answer"])


EXAMPLE: tuple[Problem, tuple[Recorded, ...]] = (
    Problem(
        question="Solve x + 3 = 7 for x.", answer="4", solution="7-3=4\nThe answer is 4", level=1, subject="Algebra"
    ),
    (
        Recorded(0, "7-3=4\nThe answer is 4\n[end]", {"response": "7-3=4\nThe answer is 4", "answer": "4"}),
        Recorded(0, "7-3=4\nThe answer is 4", "unclosed"),
        Recorded(0, "7-3=4\nThe answ", "unclosed"),
        Recorded(0, "7-3=4\nSo x is 4.\n[end]", "no_answer"),
        Recorded(0, "The answer is 4\n[end]", "no_working"),
        Recorded(0, "  ", "empty"),
    ),
)
