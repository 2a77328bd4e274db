"""Paper: the strict grader of Skywork-Math, text after the marker against the gold text; it gives the paper's number.

Formula  answer = what stands behind the last "The answer is ", up to a full stop at a line's end; equal = the same spelling after the
         normaliser of MATH: no layout commands, degrees, `\\%` or trailing `\\text{ unit}`, `k =` cut, a/b and \\frac12 as \\frac{a}{b}
Source   Skywork-Math (arXiv 2407.08348, section 4 and appendix B): MetaMath's evaluation (arXiv 2309.12284); the normaliser of
         Hendrycks et al. 2021 (arXiv 2103.03874). Rewritten from what they say and do
Flow     collect -> synthesize -> curate -> train -> [evaluate: PANEL] -> report
Run      skyloom mathqa eval --predictions OUTPUTS --data FILE --out DIR --set grader=paper
Limits   Strict on purpose: right answers in another spelling are lost (appendix B: 0.24 and 24%, roots in another order, sums in
         another order, \\text{odd} and "odd", words behind the answer, another lead-in), and so are 1,000 for 1000 and $5$ for 5.
         Not stated in the paper: whether the marker may have a colon. Its rows have none, MetaMath's script wants one; both are read
         here. MetaMath's script for GSM8K compares numbers; evals/gsm8k.py therefore writes its golds without commas. On
         MetaMath-7B's own 1,319 outputs that script and this file then call the same 880 right.
"""

import re
from dataclasses import dataclass

from skyloom.mathqa.graders import _rules
from skyloom.mathqa.graders._rules import LATEX, braced, gold_of, replaced, slashed, unread
from skyloom.mathqa.panel import Example, GraderConfig
from skyloom.mathqa.records import MARK
from skyloom.mathqa.verify.grading import Verdict

RULES: dict[str, str] = _rules.RULES
VERSION: int = 1
ROOT: re.Pattern[str] = re.compile(r"\\sqrt([^{])")
SHORT_NAME: re.Pattern[str] = re.compile(r"[^=]{0,2}=([^=]*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(GraderConfig):
    """Where the answer stands."""

    markers: tuple[str, ...] = (MARK, "The answer is: ")
    """The last of any of these is what the answer stands behind; only the second one is MetaMath's own script."""


def verdict(gold: str, output: str, config: Config) -> Verdict:
    """Equal where the text behind the marker is spelled like the gold; never raises on text."""
    wanted, given = gold_of(gold), behind(output, config.markers)
    nothing = unread(wanted, given)
    return nothing or Verdict(equal=spelled(wanted) == spelled(given), by="text", answer=given)


def behind(output: str, markers: tuple[str, ...]) -> str:
    """What stands behind the last marker; empty where there is none."""
    ends = [place + len(mark) for mark in markers if (place := output.rfind(mark)) >= 0]
    rest = output[max(ends) :] if ends else ""
    return rest.partition(".\n")[0].strip().removesuffix(".").strip()


def spelled(answer: str) -> str:
    """The normal spelling of an answer."""
    text = replaced(answer, LATEX)
    number, unit, more = text.partition("\\text{ ")
    if unit and unit not in more:
        text = number
    text = replaced(text, (("\\%", ""), (" .", " 0."), ("{.", "{0.")))
    text = f"0{text}" if text.startswith(".") else text
    named = SHORT_NAME.fullmatch(text)
    text = ROOT.sub(r"\\sqrt{\1}", named[1] if named else text).replace(" ", "")
    text = braced(text)
    return "\\frac{1}{2}" if text == "0.5" else slashed(text)


EXAMPLE: tuple[Example, ...] = (
    Example("\\frac{1}{2}", "Half of it.\nThe answer is 1/2.", True, "text"),
    Example("5", "So x is 5.\nThe answer is: x = 5.", True, "text"),
    Example("5", "So it is $\\boxed{5}$.", False, "no_answer"),
    Example("1000", "The answer is 1,000", False, "text"),
)
