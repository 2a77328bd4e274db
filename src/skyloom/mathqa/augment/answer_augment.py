"""Answer augmentation: the question stays, the teacher works out a fresh solution.

Source   AnsAug of MetaMath (Yu et al. 2023, arXiv 2309.12284, section 3.1); Skywork-Math (arXiv 2407.08348) uses it unchanged
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator answer_augment ...
Limits   Zero-shot; the paper's few-shot texts are not published. Wrong answers are dropped later, by decide/wrong_answer.
"""

from dataclasses import dataclass

from skyloom.mathqa.operators import ANSWER, AugmentConfig, Call, Draft, Example, Job, Program, Recorded
from skyloom.mathqa.records import Problem

VERSION: int = 2
CALLS: tuple[Call, ...] = (ANSWER,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AugmentConfig):
    """Settings of the calls; nothing of its own."""


def make(job: Job, config: AugmentConfig) -> Program:
    """The seed's question with the teacher's solution."""
    del config
    question: str = job.problem.question
    solved = yield ANSWER(question=question)
    yield Draft(question, solved["response"], solved["answer"], gold=job.problem.answer)


_GOOD: str = "7-3=4\nThe answer is 4\n[end]"
EXAMPLE: Example = Example(
    problem=Problem(
        question="Solve x + 3 = 7 for x.", answer="4", solution="7-3=4\nThe answer is 4", level=1, subject="Algebra"
    ),
    config=Config(),
    replies=(_GOOD,),
    drafts=(Draft("Solve x + 3 = 7 for x.", "7-3=4\nThe answer is 4", "4", gold="4"),),
    recorded=(
        Recorded(ANSWER, _GOOD, {"response": "7-3=4\nThe answer is 4", "answer": "4"}),
        Recorded(ANSWER, "7-3=4\nThe answer is 4", "unclosed"),
        Recorded(ANSWER, "7-3=4\nThe answ", "unclosed"),
        Recorded(ANSWER, "7-3=4\nSo x is 4.\n[end]", "no_answer"),
        Recorded(ANSWER, "The answer is 4\n[end]", "no_working"),
        Recorded(ANSWER, "  ", "empty"),
    ),
)
