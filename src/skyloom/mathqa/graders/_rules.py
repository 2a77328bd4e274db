"""What the text graders share: the gold answer, the oldest LaTeX repairs, and the one place that asks the computer algebra.

Formula  \\frac12 -> \\frac{1}{2}; a/b -> \\frac{a}{b} for whole numbers
Source   the normaliser that came with MATH (Hendrycks et al. 2021, arXiv 2103.03874), which most graders grew from; in our own words
Flow     under graders/{paper,minerva,tora}.py
Limits   An answer of more than 2,000 characters equals nothing (`too_long`): a bound of ours, which keeps every rule fast.
"""

import re
from collections.abc import Iterable

from skyloom.mathqa.verify.extraction import answer_of
from skyloom.mathqa.verify.grading import LONGEST, Verdict, grade

RULES: dict[str, str] = {
    "text": "the same spelling after this grader's substitutions, or not",
    "no_answer": "nothing stands where this grader looks for the answer; not equal",
    "too_long": f"an answer of more than {LONGEST:,} characters; not equal",
}
"""Rules of every text grader."""
LATEX: tuple[tuple[str, str], ...] = (
    *(("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", "")),
    *(("^{\\circ}", ""), ("^\\circ", ""), ("\\$", "")),
)
"""Layout commands, degrees and escaped dollar signs."""
BARE_FRACTION: re.Pattern[str] = re.compile(r"\\frac([^{])([^{])")
HALF_FRACTION: re.Pattern[str] = re.compile(r"\\frac([^{])(?=\{)")
SLASH: re.Pattern[str] = re.compile(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)")
ALGEBRA: frozenset[str] = frozenset(("number", "algebra"))


def gold_of(gold: str) -> str:
    """The gold answer alone; a whole solution is read by our extraction, since where the gold stands is not in dispute."""
    found = answer_of(gold)
    return gold.strip() if found is None else found.answer


def replaced(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Every pair's first text replaced by its second, in order."""
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def braced(text: str) -> str:
    """Fractions with both braces."""
    return HALF_FRACTION.sub(r"\\frac{\1}", BARE_FRACTION.sub(r"\\frac{\1}{\2}", text))


def slashed(text: str) -> str:
    """A whole text a/b as a fraction."""
    hit = SLASH.fullmatch(text)
    return f"\\frac{{{hit[1]}}}{{{hit[2]}}}" if hit else text


def same_algebra(gold: str, answer: str) -> bool:
    """Does the computer algebra say that two texts are the same number or expression? In THE grader's killable worker."""
    told = grade(gold, answer)
    return told.equal and told.by in ALGEBRA


def unread(gold: str, answer: str) -> Verdict | None:
    """The verdict where there is nothing to compare; None where both are there."""
    if not answer or not gold:
        return Verdict(equal=False, by="no_answer", answer=answer or None)
    if max(len(gold), len(answer)) > LONGEST:
        return Verdict(equal=False, by="too_long", answer=answer)
    return None
