"""FOBAR: one number of the question becomes the unknown, the known answer is told, and the teacher works backward.

Formula  question = masked text + what the answer is + what the unknown is; gold = the masked number
Source   FOBAR (Jiang et al. 2023, arXiv 2308.07758), in MetaMath (Yu et al. 2023, arXiv 2309.12284, section 3.3); the mask is ours
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report; one call a row
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator fobar ...
Limits   Sample k masks the k-th number in an order of the question's own; samples beyond its numbers are refused. Whether the answer
         fixes the unknown is only guessed from the seed's solution; where several values fit, the teacher's may not be the gold.
"""

from dataclasses import dataclass

from skyloom.mathqa.masking import Masked, choose, in_text
from skyloom.mathqa.operators import ANSWER, AugmentConfig, Call, Draft, Example, Job, Program, Recorded
from skyloom.mathqa.records import Problem

VERSION: int = 1
CALLS: tuple[Call, ...] = (ANSWER,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AugmentConfig):
    """Which numbers may become the unknown."""

    exponents: bool = False
    """Also numbers above the line, as the 2 of x^2."""
    used: bool = True
    """Only numbers that the seed's solution states, where it has one."""


def make(job: Job, config: Config) -> Program:
    """One backward question and the teacher's solution; refuses no_number, not_used and no_letter before any call."""
    masked: Masked = choose(job.problem, job.sample, exponents=config.exponents, used=config.used)
    letter, answer = masked.unknown, in_text(job.problem.answer)
    question: str = (
        f"{masked.text}\nHere {letter} is an unknown number, and the problem is known to have the answer {answer}. "
        f"What is the value of {letter}?"
    )
    solved = yield ANSWER(question=question)
    yield Draft(question, solved["response"], solved["answer"], gold=masked.value)


_GOOD: str = "4+3=7\nThe answer is 7\n[end]"
EXAMPLE: Example = Example(
    problem=Problem(
        question="Which number plus three gives 7?",
        answer="4",
        solution="7-x=4\nThe answer is 4",
        level=1,
        subject="Algebra",
    ),
    config=Config(),
    replies=(_GOOD,),
    drafts=(
        Draft(
            "Which number plus three gives X?\nHere X is an unknown number, and the problem is known to have the answer 4. "
            "What is the value of X?",
            "4+3=7\nThe answer is 7",
            "7",
            gold="7",
        ),
    ),
    recorded=(
        Recorded(ANSWER, _GOOD, {"response": "4+3=7\nThe answer is 7", "answer": "7"}),
        Recorded(ANSWER, "4+3=7\nThe answer is 7", "unclosed"),
        Recorded(ANSWER, "4+3=7\nSo X is 7.\n[end]", "no_answer"),
        Recorded(ANSWER, "The answer is 7\n[end]", "no_working"),
        Recorded(ANSWER, "  ", "empty"),
    ),
)
