"""What a text of the grammar asks, and its solution: a problem, a backward question, or one that has no answer.

Flow     under world/responder.py (the teacher) and world/problems.py (the judge): both know exactly this much of a text
Run      solution(understand("Solve x + Y = 7 for x. The answer is 4. What is Y?")).answer == 3
"""

from skyloom.mathqa.world.backward import Backward, read_backward
from skyloom.mathqa.world.expressions import Unsolvable
from skyloom.mathqa.world.grammar import MISSING, Open, Posed, Solution, read, read_illposed, read_open, solve

Found = Posed | Backward | Open
"""A problem or what is no problem (world/illposed.py), a backward question, or a problem that keeps a number back."""


def understand(text: str) -> Found | None:
    """What a text asks, if it is of the grammar."""
    found: Posed | Backward | None = read(text) or read_backward(text)
    if found is not None:
        return found
    hollow: Open | None = read_open(text)
    return hollow if hollow is not None and hollow.letter == MISSING else read_illposed(text)


def solution(found: Found) -> Solution:
    """The solution.

    Raises:
        Unsolvable: there is none: contradictory numbers, a number kept back, an unknown that nothing or too much fits.
    """
    if isinstance(found, Open):
        raise Unsolvable("a number is missing")
    return solve(found) if isinstance(found, Posed) else found.solution


def invalid(found: Found) -> str:
    """Why a question is no problem (world/illposed.py); empty where it is one."""
    if isinstance(found, Open):
        return "missing_condition"
    if isinstance(found, Posed) and found.kind.invalid:
        return found.kind.invalid
    try:
        solution(found)
    except Unsolvable:
        if isinstance(found, Backward):
            return "several_answers" if found.fits else "contradiction"
        return "unsolvable"
    return ""
