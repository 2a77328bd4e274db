"""Ours: THE grader, which filters, votes and every headline use unless another is asked for.

Source   mathqa/verify/grading.py
Flow     collect -> synthesize -> curate -> train -> [evaluate: PANEL] -> report
Run      skyloom mathqa eval --predictions OUTPUTS --data FILE --out DIR
"""

from dataclasses import dataclass

from skyloom.mathqa.panel import Example, GraderConfig
from skyloom.mathqa.verify import equivalence
from skyloom.mathqa.verify.grading import Verdict, grade

RULES: dict[str, str] = equivalence.RULES
VERSION: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(GraderConfig):
    """Nothing to set: one grader for all uses."""


def verdict(gold: str, output: str, config: Config) -> Verdict:
    """THE grader's verdict; never raises on text."""
    del config
    return grade(gold, output)


EXAMPLE: tuple[Example, ...] = (
    Example("1{,}000", "So he earns $1000.\nThe answer is 1000", True, "number"),
    Example("-x+1", "The answer is $-(x+1)$", False, "algebra"),
)
