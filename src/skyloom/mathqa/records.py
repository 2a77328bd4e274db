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
    gold: str | None
    """The right answer where it is known: the seed's while the question means the same, or the masked number; None: a new question."""
    level: int | None
    """The seed's level."""
    subject: str
    operator: str
    """The augmenter that made it, e.g. rephrase."""
    strategy: str
    """Which form of the operator, e.g. deepen; empty where it has one."""
    round: int
    """Round of an operator that builds on its own rows, from 1; 0: it has no rounds."""
    made_in: str
    """Name of the pass that made it; empty where there is one."""
    stage: int
    """Training stage that the row is for: 1, or 2 for rows from hard seeds (Skywork-Math, section 3.2)."""
    seed: str
    """Row id of the collected problem at its root, e.g. world:0:17; the row that it was made from stands in the edges."""
    seed_question: str
    """The seed's text: what contamination checks compare besides the row's own text."""
    sample: int
    """Number of the job among those that the operator ran on the same problem, from 0."""
    teacher: str
    """Model name that was asked."""
    prompts: str
    """Hash of the prompts sent (16 hex digits): the same prompts and sample, the same reply."""
    requests: tuple[str, ...]
    """Keys in the request log (hex) of the calls made for this row, those whose replies were refused included."""
    prompt_tokens: int
    """Tokens of those calls' prompts."""
    completion_tokens: int
    """Tokens of their replies."""
    cost: float
    """Money for those tokens, at the prices set when the row was made."""
    votes: tuple[str, ...]
    """Answers of all rows of the operator and this problem whose question means the same, this row's own among them, in their order."""
