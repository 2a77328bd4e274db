"""The two records of mathqa: a problem that comes in, and an instance that a teacher made from one.

Source   fields after the public data sets (GSM8K, MATH) and what lineage needs (Skywork-Math, arXiv 2407.08348, section 3)
Flow     [collect: Problem] -> synthesize: Instance -> curate -> train -> evaluate -> report
"""

from dataclasses import dataclass

from skyloom.core.records import Message

MARK: str = "The answer is "
"""What stands before the answer in the last line of every response; no colon, no box (Skywork-Math, section 3.1)."""


def chat(question: str) -> tuple[Message, ...]:
    """What a model is asked: the question alone, zero-shot, the same in training and evaluation (Skywork-Math, section 4)."""
    return (Message(role="user", content=question),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A problem with its known answer."""

    question: str
    answer: str
    """The final answer alone, as the data set writes it."""
    solution: str
    """Worked solution without marks of its format."""
    level: int | None
    """Difficulty from 1 (easy) to 5; None where the data set gives none."""
    subject: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """A training row: a question and a teacher's response to it."""

    question: str
    response: str
    """Working, then a last line `The answer is N`."""
    answer: str
    """N of that line."""
    gold: str
    """The seed's answer: right for this question too, as long as the operator kept the question's meaning."""
    level: int | None
    """The seed's level."""
    subject: str
    operator: str
    """The augmenter that made it, e.g. rephrase."""
    seed: str
    """Row id of the seed problem, e.g. world:0:17."""
    seed_question: str
    """The seed's text: what contamination checks compare besides the row's own text."""
    sample: int
    """Number of this row among those that the operator made from the seed, from 0."""
    teacher: str
    """Model name that was asked."""
    prompts: str
    """Hash of the prompts sent (16 hex digits): the same prompts and sample, the same reply."""
    votes: tuple[str, ...]
    """Answers of all samples of the operator for this seed, this row's own among them, in order of sample."""
