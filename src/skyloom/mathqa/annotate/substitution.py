r"""Substitution: does the answer solve the question's equation, and is the arithmetic of the response right? No model is asked.

Formula  holds = every equation of the question is true with the answer put in for the unknown that it asks for; null where the
         question has no equation, asks for something else, or has a second unknown. Sides are exact fractions; what these cannot
         hold (roots, logarithms) goes to the grader's computer algebra. arithmetic: every `a op b = c` of plain numbers in the
         response, exact; a side written with d decimals may be off by less than 10^-d (rounded or cut off)
Source   ours; substitution as a check of an answer: Weng et al. 2023 (self-verification, arXiv 2212.09561); arithmetic: the
         calculator marks of GSM8K (Cobbe et al. 2021, arXiv 2110.14168)
Flow     collect -> synthesize -> [curate: ANNOTATE -> annotate/correct -> decide/correct] -> train -> evaluate -> report
Run      holds("Solve 3x + 2 = 11 for x.", "3") is True
Limits   An answer that fits need not be all that is asked for: one root of two also fits. Right arithmetic may serve a wrong idea. A sum
         within a sentence counts only where the words beside it cannot belong to it ("half of 6 + 2 = 4" is passed over).
Shapes   N rows
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.mathqa.records import MARK
from skyloom.mathqa.verify.answers import Answer, read
from skyloom.mathqa.verify.grading import grade

KIND: str = "map"
VERSION: int = 2
READS: tuple[str, ...] = ("question", "answer", "response")
WRITES: dict[str, pl.DataType] = {
    "substitution.holds": pl.Boolean(),  # null: nothing to put the answer into, or no way to tell
    "arithmetic.checked": pl.Int64(),  # statements found
    "arithmetic.wrong": pl.Int64(),  # of them, those that do not hold
    "arithmetic.evidence": pl.String(),  # the first of these; null where all hold
}

LONGEST: int = 400
"""Characters of a side or a statement that are read: longer ones are no school arithmetic."""
LONGEST_LINE: int = 2_000
POWER: int = 64
BITS: int = 4_096
"""Largest exponent and size of a number; with these, nothing here takes longer than a blink."""
DEPTH: int = 24

LATEX: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(found), put)
    for found, put in (
        (r"\\[dtc]?frac\s*(\d)\s*(\d)", r"((\1)/(\2))"),
        (r"\\(?:left|right|[bB]ig+[lr]?|displaystyle)(?![A-Za-z])", ""),
        (r"\{,\}|(?<=\d),(?:\\!)?(?=\d{3}(?!\d))", ""),
        (r"\\[()\[\],;:! ]|~", " "),
        (r"\\(?:times|cdot)(?![A-Za-z])|[×·∙]", "*"),
        (r"\\div(?![A-Za-z])|÷", "/"),
        (r"[−–]", "-"),
        (r"\\?\$", " "),
    )
)
FRACTION: re.Pattern[str] = re.compile(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
BRACES: re.Pattern[str] = re.compile(r"\^\s*\{([^{}]*)\}")
TOKEN: re.Pattern[str] = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<name>[A-Za-z])|(?P<sign>[-+*/^()]))")
MIXED: re.Pattern[str] = re.compile(r"\d\s+[\d.]|\d\s*\(\(|/\s*[\d.]+\s*[A-Za-z(/]|(?<![\d.])0\d")
"""3 1/2, 1/2x, 6 / 1/3, 0900: several readings, or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Arithmetic has no settings."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """holds; counts of statements and of wrong ones, 0 or more; the first wrong one."""
    del config
    return pl.DataFrame([_row(*cells) for cells in rows_N.select(READS).iter_rows()], schema=WRITES)


def _row(question: str, answer: str, response: str) -> dict[str, bool | int | str | None]:
    told: list[Statement] = list(statements(response))
    wrong: list[Statement] = [each for each in told if not each.right]
    return {
        "substitution.holds": holds(question, answer),
        "arithmetic.checked": len(told),
        "arithmetic.wrong": len(wrong),
        "arithmetic.evidence": wrong[0].text if wrong else None,
    }


# --- exact values ----------------------------------------------------------------------------------------------------------


class _Unread(Exception):
    """Not plain arithmetic, or too large for it."""


def plain(text: str) -> str:
    """LaTeX arithmetic in the signs of a keyboard: fractions as ((a)/(b)), powers as ^(n), no dollar signs or spacing."""
    for pattern, put in LATEX:
        text = pattern.sub(put, text)
    for _ in range(6):
        opened = BRACES.sub(r"^(\1)", FRACTION.sub(r"((\1)/(\2))", text))
        if opened == text:
            break
        text = opened
    return text


def value(text: str, names: Mapping[str, Fraction] | None = None) -> Fraction | None:
    """The exact value of plain arithmetic (numbers, names, + - * / ^, brackets, 3x for 3*x); None for anything else."""
    if len(text) > LONGEST or MIXED.search(text):
        return None
    try:
        return _Reader(text, names or {}).whole()
    except (_Unread, ZeroDivisionError):
        return None


class _Reader:
    """Reads and reckons in one go, left to right, within the limits of POWER, BITS and DEPTH."""

    def __init__(self, text: str, names: Mapping[str, Fraction]) -> None:
        self._tokens: list[str] = []
        self._names = names
        self._at, self._depth, place = 0, 0, 0
        text = text.strip()
        while place < len(text):
            hit = TOKEN.match(text, place)
            if hit is None:
                raise _Unread
            self._tokens.append(hit[hit.lastgroup or 0])
            place = hit.end()

    def whole(self) -> Fraction:
        found: Fraction = self._sum()
        if self._at < len(self._tokens):
            raise _Unread
        return found

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token: str = self._next()
        self._at += 1
        return token

    def _sum(self) -> Fraction:
        found: Fraction = self._product()
        while self._next() in ("+", "-"):
            found = _small(found + self._product() if self._take() == "+" else found - self._product())
        return found

    def _product(self) -> Fraction:
        found: Fraction = self._signed()
        while (sign := self._next()) in ("*", "/", "(") or sign.isalpha():
            if sign in ("*", "/"):
                self._take()
            other: Fraction = self._power() if sign not in ("*", "/") else self._signed()
            found = _small(found / other if sign == "/" else found * other)
        return found

    def _signed(self) -> Fraction:
        sign = 1
        while self._next() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        return sign * self._power()

    def _power(self) -> Fraction:
        base: Fraction = self._atom()
        if self._next() != "^":
            return base
        self._take()
        exponent: Fraction = self._signed_atom()
        if exponent.denominator != 1 or abs(exponent) > POWER:
            raise _Unread
        size: int = max(base.numerator.bit_length(), base.denominator.bit_length())
        if size * abs(exponent) > BITS:
            raise _Unread
        return base ** int(exponent)

    def _signed_atom(self) -> Fraction:
        if self._next() == "-":
            self._take()
            return -self._atom()
        return self._atom()

    def _atom(self) -> Fraction:
        token: str = self._take()
        if token == "(":
            self._depth += 1
            if self._depth > DEPTH:
                raise _Unread
            found: Fraction = self._sum()
            if self._take() != ")":
                raise _Unread
            self._depth -= 1
            return found
        if token in self._names:
            return self._names[token]
        if not token or not (token[0].isdigit() or token[0] == "."):
            raise _Unread
        return _small(Fraction(token))


def _small(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > BITS:
        raise _Unread
    return number


# --- the answer in the question's equation ---------------------------------------------------------------------------------

FORMULA: re.Pattern[str] = re.compile(r"\$\$?([^$]+)\$\$?|\\\[(.+?)\\\]|\\\((.+?)\\\)", re.DOTALL)
RUN: re.Pattern[str] = re.compile(
    r"(?:\d+(?:,\d{3})*(?:\.\d+)?[a-z]?(?![A-Za-z])|(?<![A-Za-z])[A-Za-z](?![A-Za-z'’])|[-+−*/^()=×·÷]|[ \t])+"
)
"""A stretch of plain text that may be an equation."""
HERE: str = "\x00"  # stands for an equation while the words around it are read
KIND_OF: str = r"(?: (?:real|positive|negative|integer|whole|unique|only|exact|possible|larger|greater|largest|smaller|smallest|least))*"
SUCH: str = rf"(?:,? (?:if|when|where|given(?: that)?|such that|so that|for which|that satisfies|satisfying|in)(?: the equation)? {HERE})?"
ASKED: re.Pattern[str] = re.compile(
    rf"(?:\A|[.?!,;:]\s+|\s(?:and|then) )(?:"
    rf"(?:what is|what's|find|determine|compute|calculate|solve for)(?: the)?{KIND_OF}(?: (?:value|number)s?(?: of)?)? (?P<name>[A-Za-z])"
    rf"{SUCH}(?:: ?{HERE})?"
    rf"|solve(?: the equation)? {HERE} for (?P<solved>[A-Za-z])"
    rf"|solve(?: the equation)?:? {HERE}"
    rf"|(?:what is|find|determine|compute)(?: the)?{KIND_OF} (?:root|solution|zero) (?:of|to)(?: the equation)? {HERE}"
    r")\s*[.?!]?\s*\Z",
    re.IGNORECASE,
)
KNOWN: re.Pattern[str] = re.compile(r"\\(?:sqrt|pi)(?![A-Za-z])|[\d\s{}().+*/^-]")
"""What the computer algebra reads without a doubt, and what stands between."""
OWN: re.Pattern[str] = re.compile(r"\bdefin|\boperation|\bdenote", re.IGNORECASE)
"""A question that gives signs a meaning of its own."""


class Equation(NamedTuple):
    """Two sides as written."""

    left: str
    right: str


def holds(question: str, answer: str) -> bool | None:
    """Does the answer solve the equations of the question? None where it asks for something else, or it cannot be told."""
    if "=" not in question or len(question) > LONGEST_LINE or OWN.search(question):
        return None
    words, found = _parted(question)
    asked: re.Match[str] | None = ASKED.search(words)
    if not found or asked is None:
        return None
    letters: set[str] = {each for sides in found for side in sides for each in KNOWN.sub(" ", side)} - {" "}
    unknown: str = asked["name"] or asked["solved"] or next((each for each in letters if each.isalpha()), "")
    if letters != {unknown}:
        return None
    given: Answer = read(answer)
    if given.symbol not in ("", unknown) or given.percent:
        return None
    several: bool = given.kind == "list" or given.brackets == "{}"
    told: list[bool | None] = [
        _fits(each, unknown, one) for one in (given.parts if several else (given,)) for each in found
    ]
    if False in told:
        return False
    return None if None in told or not told else True


def _parted(question: str) -> tuple[str, list[Equation]]:
    """The question's words with a mark for each equation, and the equations."""
    found: list[Equation] = []

    def cut(text: str, whole: str) -> str:
        sides: list[str] = plain(text).strip().rstrip(".,;:?").split("=")
        if len(sides) != 2 or not all(side.strip() for side in sides):
            return whole if "=" in text else f" {text} "
        found.append(Equation(sides[0].strip(), sides[1].strip()))
        return f" {HERE} "

    if FORMULA.search(question):
        words = FORMULA.sub(lambda hit: cut(hit[1] or hit[2] or hit[3], hit[0]), question)
    else:
        words = RUN.sub(lambda hit: cut(hit[0], hit[0]) if "=" in hit[0] else hit[0], question)
    return re.sub(r"\s+([,.:;?!])", r"\1", re.sub(r"\s+", " ", words)).strip(), found


def _fits(equation: Equation, unknown: str, given: Answer) -> bool | None:
    """One equation with one value put in; None where neither exact fractions nor the computer algebra can tell."""
    if given.value is not None:
        sides = [value(side, {unknown: given.value}) for side in equation]
        if sides[0] is not None and sides[1] is not None:
            return sides[0] == sides[1]
    text: str = plain(str(given.value) if given.value is not None else given.text)
    if KNOWN.sub("", text) or any(MIXED.search(side) for side in equation) or len("".join(equation) + text) > LONGEST:
        return None
    put = re.compile(rf"(?P<times>\d\s*)?(?<![A-Za-z\\]){unknown}(?![A-Za-z])")
    left, right = (put.sub(lambda hit: f"{hit[1]} * ({text})" if hit[1] else f"({text})", side) for side in equation)
    verdict = grade(
        f"1 + {left}", f"1 + {right}"
    )  # the algebra is as exact as its numbers are large: no side may be zero
    return verdict.equal if verdict.by in ("algebra", "number", "form") else None


# --- the arithmetic of the response ----------------------------------------------------------------------------------------

SUM: re.Pattern[str] = re.compile(r"(?:\d+(?:\.\d+)?|\.\d+|[-+*/^()=]|[ \t])+")
OPERATION: re.Pattern[str] = re.compile(r"[\d)]\s*[-+*/^(]")
TIED: frozenset[str] = frozenset(
    [
        *(
            "of",
            "by",
            "times",
            "plus",
            "minus",
            "over",
            "mod",
            "modulo",
            "and",
            "to",
            "from",
            "or",
            "than",
            "half",
            "twice",
        ),
        *(
            "double",
            "triple",
            "thrice",
            "squared",
            "cubed",
            "power",
            "percent",
            "base",
            "log",
            "sqrt",
            "sin",
            "cos",
            "tan",
        ),
        *("hundred", "thousand", "million", "billion", "dozen", "cents", "cent"),
    ]
)
"""Words that may be part of the arithmetic beside them."""
WHOLE: re.Pattern[str] = re.compile(r"\bremainder|\bmod\b|\bmodulo\b", re.IGNORECASE)
"""7/3 = 2: a line of division with remainder."""
DECIMALS: re.Pattern[str] = re.compile(r"\.(\d+)")


class Statement(NamedTuple):
    """Two sides that the response says are equal."""

    text: str
    right: bool


def statements(response: str) -> Iterator[Statement]:
    """Every `a op b = c` of plain numbers, line by line; the closing line that tells the answer is none."""
    for line in response.splitlines():
        if "=" not in line or len(line) > LONGEST_LINE or line.startswith(MARK) or WHOLE.search(line):
            continue
        text: str = plain(line)
        for run in SUM.finditer(text):
            if "=" in run[0]:
                yield from _stated(text, run)


def _stated(text: str, run: re.Match[str]) -> Iterator[Statement]:
    pieces: list[str] = run[0].split("=")
    whole: list[bool] = [True] * len(pieces)
    whole[0] = _begins(text[: run.start()], pieces[0])
    whole[-1] = _ends(text[run.end() :], pieces[-1])
    for (left, left_whole), (right, right_whole) in pairwise(zip(pieces, whole, strict=True)):
        if not (left_whole and right_whole and OPERATION.search(left)):
            continue
        first, second = value(left), value(right)
        if first is not None and second is not None:
            places: int = min((len(each) for each in DECIMALS.findall(f"{left} {right}")), default=0)
            near: Fraction = Fraction(1, 10**places) if places else Fraction(0)
            right_so: bool = first == second or abs(first - second) < near
            yield Statement(f"{' '.join(left.split())} = {' '.join(right.split())}", right_so)


def _begins(before: str, piece: str) -> bool:
    """Can nothing before it belong to this piece?"""
    if not piece.strip() or piece.lstrip()[0] in "+*/^":
        return False
    if not before.strip():
        return True
    end: str = before.rstrip()[-1]
    touching: bool = not piece[0].isspace() and not before[-1].isspace()
    if touching or end in "%!_\\^|/<>≤≥≈}{]&" or piece.lstrip()[0] == "-":
        return False
    last: re.Match[str] | None = re.search(r"(\\?)([^\W\d_]+)\W*\Z", before)
    if end in ":;.,":
        return True
    return last is not None and not last[1] and len(last[2]) > 1 and last[2].lower() not in TIED


def _ends(after: str, piece: str) -> bool:
    """Can nothing behind it belong to this piece?"""
    if not piece.strip() or not after.strip():
        return bool(piece.strip())
    if re.match(r"\s*(?:\.\s|\.\Z|,\s|;|\\text|\\mathrm|\\ )", after):
        return True
    if not piece[-1].isspace():
        return False
    word: re.Match[str] | None = re.match(r"[A-Za-z]+", after)
    return word is not None and len(word[0]) > 1 and word[0].lower() not in TIED


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: column values
    (
        {"question": "Solve 3x + 2 = 11 for x.", "answer": "3", "response": "11-2=9\n9/3=3\nThe answer is 3"},
        {"question": "If $x^2 = 9$, what is $x$?", "answer": "4", "response": "3 * 3 = 8, so x = 4.\nThe answer is 4"},
        {"question": "How many are 3 boxes of 4?", "answer": "12", "response": "Half of 24 + 0 = 12\nThe answer is 12"},
    ),
    (
        {"substitution.holds": True, "arithmetic.checked": 2, "arithmetic.wrong": 0, "arithmetic.evidence": None},
        {
            "substitution.holds": False,
            "arithmetic.checked": 1,
            "arithmetic.wrong": 1,
            "arithmetic.evidence": "3 * 3 = 8",
        },
        {"substitution.holds": None, "arithmetic.checked": 0, "arithmetic.wrong": 0, "arithmetic.evidence": None},
    ),
)
