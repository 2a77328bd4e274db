"""Problems of the world: a train and an eval part that share no content, and what is true of any text of the grammar.

Formula  content = kind and numbers; a problem is eval when hash(content) falls into the first of five equal parts, else train
Flow     sources/world.py draws the train part, evals/world.py the eval part; synthesis is judged by `judge`
Limits   The parts share kinds, wordings and arithmetic facts; what they never share is a kind with its numbers.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.mathqa.world.expressions import Unsolvable, show
from skyloom.mathqa.world.grammar import Kind, Posed, draw, grammar, part
from skyloom.mathqa.world.understanding import Found, invalid, solution, understand

Part = Literal["train", "eval"]
LEVELS: tuple[int, ...] = (1, 2, 3, 4, 5)
EVAL_SHARE: int = 5  # one content in five
SHARES: tuple[float, ...] = (0.3, 0.25, 0.2, 0.15, 0.1)


class Judgement(NamedTuple):
    """What the world knows of a question and an answer to it."""

    answer: str
    """The right answer; empty where the text is none of the grammar's or has no single one."""
    right: bool
    steps: int
    """Lines of working that the solution takes; 0 where there is none."""
    readable: bool
    """Is the text of the grammar? Without an answer it then asks what nobody can answer."""
    invalid: str = ""
    """Why a readable question has no answer: a reason of world/illposed.py."""


def part_of(posed: Posed) -> Part:
    """Which part a problem belongs to."""
    return "eval" if part(posed.content, EVAL_SHARE) == 0 else "train"


def problems(which: Part, seed: int, rows: int, shares: Sequence[float] = SHARES) -> Iterator[Posed]:
    """`rows` problems of one part; level l comes with probability shares[l - 1]. Fewer rows are a beginning of more rows.

    Raises:
        BadInput: the shares are not five non-negative numbers with a positive sum.
    """
    weights = np.asarray(shares, dtype=np.float64)
    if weights.shape != (len(LEVELS),) or (weights < 0).any() or not weights.sum() > 0:
        raise BadInput(f"world: shares: give five non-negative numbers, one a level, not {tuple(shares)}")
    rng: np.random.Generator = stream(seed, "mathqa.world", which)
    kinds: list[list[Kind]] = [[kind for kind in grammar().kinds.values() if kind.level == level] for level in LEVELS]
    upto: np.ndarray = np.cumsum(weights / weights.sum())
    for _ in range(rows):
        yield _one(which, kinds[min(int(np.searchsorted(upto, rng.random(), side="right")), len(LEVELS) - 1)], rng)


def _one(which: Part, kinds: Sequence[Kind], rng: np.random.Generator) -> Posed:
    while True:
        posed: Posed = draw(kinds[int(rng.integers(len(kinds)))], rng)
        if part_of(posed) == which:
            return posed


def judge(question: str, answer: str) -> Judgement:
    """What is true of a question, and whether `answer` (as the world writes numbers) is the right one."""
    found: Found | None = understand(question)
    if found is None:
        return Judgement("", right=False, steps=0, readable=False)
    try:
        lines, value = solution(found)
    except Unsolvable:
        return Judgement("", right=False, steps=0, readable=True, invalid=invalid(found))
    return Judgement(show(value), right=show(value) == answer.strip(), steps=len(lines), readable=True)
