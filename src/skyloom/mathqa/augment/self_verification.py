"""Self-verification: the question and its answer become a statement, one number becomes the unknown, the teacher works backward.

Formula  question = masked facts + statement + what the unknown is; gold = the masked number
Source   Weng et al. 2023 (arXiv 2212.09561), in MetaMath (Yu et al. 2023, arXiv 2309.12284, section 3.3); the mask is ours
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report; two calls a row
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator self_verification ...
Limits   As augment/fobar. The teacher writes the statement from the masked text, so it can give the number away only by working it
         out; a statement that says something else than the question asks shows as a wrong answer in annotate/verify.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from skyloom.core.text.normal import normal
from skyloom.mathqa.masking import Asking, Masked, asking, choose, in_text, numbers, states, uses
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
from skyloom.mathqa.records import Problem

VERSION: int = 1
OPENING: str = "Statement:"
LOWERED: tuple[str, ...] = ("The ", "There ", "It ", "This ", "Its ", "He ", "She ", "They ")  # within a sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AugmentConfig):
    """Which numbers may become the unknown."""

    exponents: bool = False
    """Also numbers above the line, as the 2 of x^2."""
    used: bool = True
    """Only numbers that the seed's solution states, where it has one."""


def stated(reply: str, slots: Slots) -> Slots:
    """`statement`; refuses unclosed, empty, no_mark, still_asks, answer_missing, unknown_lost, and bare: the answer and no question."""
    statement: str = " ".join(behind(closed(reply), OPENING).split())
    if "?" in statement:
        raise Refused("still_asks")
    if not states(statement, slots["answer"]):
        raise Refused("answer_missing")
    if uses(slots["question"], slots["unknown"]) and not uses(statement, slots["unknown"]):
        raise Refused("unknown_lost")
    if normal(statement).startswith("the answer is"):
        raise Refused("bare")
    return {"statement": statement}


STATEMENT: Call = Call("statement", Path(__file__).with_suffix(".toml"), ("statement",), stated)
CALLS: tuple[Call, ...] = (STATEMENT, ANSWER)


def make(job: Job, config: Config) -> Program:
    """One backward question and the teacher's solution. Before any call: no_number, not_used, no_letter, no_question (no clause asks),
    several_questions; behind the statement: unknown_lost (it stood only in a note on the answer's form) and leak."""
    masked: Masked = choose(job.problem, job.sample, exponents=config.exponents, used=config.used)
    split: Asking | None = asking(masked.text)
    if split is None:
        raise Refused("no_question")
    if "?" in split.facts:
        raise Refused("several_questions")
    letter: str = masked.unknown
    told = yield STATEMENT(
        problem=masked.text, question=split.question, answer=in_text(job.problem.answer), unknown=letter
    )
    statement: str = told["statement"]
    hidden: Fraction = abs(Fraction(masked.value))
    if any(abs(Fraction(number.value)) == hidden for number in numbers(statement, exponents=True)):
        raise Refused("leak")
    if split.facts.endswith(",") and statement.startswith(LOWERED):
        statement = statement[0].lower() + statement[1:]
    text: str = f"{split.facts} {statement}".strip()
    if not uses(text, letter):
        raise Refused("unknown_lost")
    question: str = f"{text}\nHere {letter} is an unknown number. What is the value of {letter}?"
    solved = yield ANSWER(question=question)
    yield Draft(question, solved["response"], solved["answer"], gold=masked.value)


_SLOTS: Slots = {
    "problem": "Tom had X apples. Tom lost three. How many apples are left?",
    "question": "How many apples are left?",
    "answer": "4",
    "unknown": "X",
}
_ASKED: Slots = {
    "problem": "Which number plus three gives X?",
    "question": "Which number plus three gives X?",
    "answer": "$\\frac{1}{2}$",
    "unknown": "X",
}
_GOOD: str = "Statement: Tom has 4 apples left.\n[end]"
EXAMPLE: Example = Example(
    problem=Problem(
        question="Tom had 7 apples. Tom lost three. How many apples are left?",
        answer="4",
        solution="7-x=4\nThe answer is 4",
        level=1,
        subject="Arithmetic",
    ),
    config=Config(),
    replies=(_GOOD, "4+3=7\nThe answer is 7\n[end]"),
    drafts=(
        Draft(
            "Tom had X apples. Tom lost three. Tom has 4 apples left.\nHere X is an unknown number. What is the value of X?",
            "4+3=7\nThe answer is 7",
            "7",
            gold="7",
        ),
    ),
    recorded=(
        Recorded(STATEMENT, _GOOD, {"statement": "Tom has 4 apples left."}, _SLOTS),
        Recorded(
            STATEMENT,
            "Statement: One half plus three gives X.\n[end]",
            {"statement": "One half plus three gives X."},
            _ASKED,
        ),
        Recorded(
            STATEMENT, "Statement: Tom has four apples left.\n[end]", {"statement": "Tom has four apples left."}, _SLOTS
        ),
        Recorded(STATEMENT, "Statement: Tom has 4 app", "unclosed", _SLOTS),
        Recorded(STATEMENT, "", "empty", _SLOTS),
        Recorded(STATEMENT, "Statement:\n[end]", "empty", _SLOTS),
        Recorded(STATEMENT, "Tom has 4 apples left.\n[end]", "no_mark", _SLOTS),
        Recorded(STATEMENT, "Statement: Does Tom have 4 apples left?\n[end]", "still_asks", _SLOTS),
        Recorded(STATEMENT, "Statement: Tom has 14 apples left.\n[end]", "answer_missing", _SLOTS),
        Recorded(STATEMENT, "Statement: Tom has some apples left.\n[end]", "answer_missing", _SLOTS),
        Recorded(STATEMENT, "Statement: The number is $\\frac12$.\n[end]", "unknown_lost", _ASKED),
        Recorded(STATEMENT, "Statement: The answer is 4.\n[end]", "bare", _SLOTS),
    ),
)
