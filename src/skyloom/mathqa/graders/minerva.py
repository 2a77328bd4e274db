"""Minerva: the answer behind "final answer is", rid of units and filler words, then text equality or equal by computer algebra.

Formula  equal = the same text after a fixed list of substitutions, or a - b simplifies to 0
Source   Lewkowycz et al. 2022 (arXiv 2206.14858), appendix D: the lists are theirs, the rest is in our own words; the
         evaluation harnesses' `minerva_math` tasks read outputs so
Flow     collect -> synthesize -> curate -> train -> [evaluate: PANEL] -> report
Run      skyloom mathqa eval --predictions OUTPUTS --data FILE --out DIR --set grader=minerva
Limits   An output in another closing form scores 0, whatever it says: --set "grader.phrase=answer is" separates that from the rest.
         Words are cut wherever they stand, inside other words too ("always" loses "ways"). The algebra is THE grader's, which is
         exact; the original's misses some forms that it does not parse.
"""

import re
from dataclasses import dataclass

from skyloom.mathqa.graders import _rules
from skyloom.mathqa.graders._rules import gold_of, replaced, same_algebra, unread
from skyloom.mathqa.panel import Example, GraderConfig
from skyloom.mathqa.verify.grading import Verdict

RULES: dict[str, str] = {**_rules.RULES, "algebra": "the computer algebra calls the two texts the same value"}
VERSION: int = 2
CLOSING: re.Pattern[str] = re.compile(r".?\s*I hope it is correct", re.IGNORECASE)
PAIRS: tuple[tuple[str, str], ...] = (
    *(("an ", ""), ("a ", ""), (".$", "$"), ("\\$", ""), ("\\ ", ""), (" ", ""), ("mbox", "text")),
    *((",\\text{and}", ","), ("\\text{and}", ","), ("\\text{m}", "\\text{}")),
)
"""Replaced, in this order (appendix D)."""
UNITS: str = (
    "square ways integers dollars mph inches ft hours km units \\ldots sue points feet minutes digits cents degrees cm gm pounds "
    "meters meals edges students childrentickets multiples"
)
MARKS: tuple[str, ...] = (
    *("\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2", "\\text{}^3", "\\text{\n}", "\\text{}", "\\mathrm{th}"),
    *("^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"', "\\dots"),
)
"""Removed after the units, in this order (appendix D)."""
FORMULA: re.Pattern[str] = re.compile(r"\$(.*?)\$")
WRAPPED: re.Pattern[str] = re.compile(r"\\(?:text|textbf|overline)\{(.*?)\}")
BOXED: re.Pattern[str] = re.compile(r"\\boxed\{(.*)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(GraderConfig):
    """Where the answer stands."""

    phrase: str = "final answer is"
    """What the answer stands behind, in any case; the last one counts."""


def verdict(gold: str, output: str, config: Config) -> Verdict:
    """Equal where the normalised texts are the same, or the algebra says so; never raises on text."""
    wanted, given = gold_of(gold), behind(output, config.phrase)
    nothing = unread(wanted, given)
    if nothing:
        return nothing
    left, right = spelled(wanted), spelled(given)
    if left == right:
        return Verdict(equal=True, by="text", answer=given)
    equal = same_algebra(left, right)
    return Verdict(equal=equal, by="algebra" if equal else "text", answer=given)


def behind(output: str, phrase: str) -> str:
    """What stands behind the last phrase on its line, before "I hope it is correct"; empty where there is none."""
    ends = [hit.end() for hit in re.finditer(re.escape(phrase), output, re.IGNORECASE)]
    line = output[ends[-1] :].lstrip(" :\n").partition("\n")[0] if ends else ""
    return CLOSING.split(line, maxsplit=1)[0].strip().removesuffix(".").strip()


def spelled(answer: str) -> str:
    """The normal spelling of an answer."""
    text = replaced(answer.rpartition("=")[2], PAIRS)
    text = replaced(text, ((word, "") for word in (*UNITS.split(), *MARKS)))
    formula = FORMULA.search(text)
    text = WRAPPED.sub(r"\1", formula[1] if formula else text)
    text = BOXED.sub(r"\1", text)
    text = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", text)
    text = re.sub(r"sqrt([^{])", r"sqrt{\1}", text).replace("$", "")
    digits = text.replace(",", "")
    return digits if digits.isdigit() else text


EXAMPLE: tuple[Example, ...] = (
    Example("10", "Final Answer: The final answer is $10\\text{ meters}$. I hope it is correct.", True, "text"),
    Example("2x+2", "The final answer is $2(x+1)$. I hope it is correct.", True, "algebra"),
    Example("10", "The answer is 10", False, "no_answer"),
)
