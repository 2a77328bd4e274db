"""Is a question a problem at all? What speaks against it in its text, in the answers given to it, and in what a solver said of it.

Kinds    missing_condition  a number or a relation that the answer needs is not given
         several_answers    more than one answer fits and nothing says which is meant
         contradiction      two conditions cannot both hold
         unsolvable         nothing fits: a negative count, half a person, a square below zero
Formula  systems: every equation of the text is read as linear or, a single one, as quadratic in one letter; rank and discriminant decide.
         A rule is silent where the text holds a relation that it cannot read (an inequality, `integer`, a function, a picture)
         answers: of a question for a number of things, a share of answers below zero or between whole numbers
         spread: H = entropy over classes of equal votes, in bits; s = H / log2(n) (1 - 1/n) for n votes. Two answers that hold three
         quarters of the votes, the lesser c of them at least twice, count 2c / n instead
Source   ours; entropy of answers as doubt: semantic entropy (Kuhn et al. 2023, arXiv 2302.09664), self-consistency (2203.11171)
Flow     under annotate/validity.py
Run      in_text("If x^2 = 49, what is the value of x?")[0].kind == "several_answers"
Limits   Rules read English and see formulas only: what a story leaves out, votes and sayings have to tell. A hard problem scatters
         votes as a bad one does, so spread is a doubt, not a proof. Scores rank; they are no probabilities.
"""

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import Literal, NamedTuple, get_args

from skyloom.mathqa.kinds import DRAWING
from skyloom.mathqa.verify.grading import grade

Kind = Literal["missing_condition", "several_answers", "contradiction", "unsolvable"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RULE: float = 0.9
"""Score of what a rule over the text found (ours, as all here: experiments/mathqa_validity.py shows what they give)."""
ANSWER: float = 0.7
"""Score of an answer that cannot be, where there are no votes."""
SAID: float = 0.6
"""Score of the solver's own words."""
MOST: int = 16
"""Classes of votes: where there are more, votes scatter, and comparing all with all would take the square of their number."""
LONGEST_QUESTION: int = 10_000
LONGEST: int = 80
"""Characters of a span that is given as evidence."""


class Evidence(NamedTuple):
    """One thing that speaks against a question."""

    kind: Kind
    score: float
    """0 to 1."""
    words: str


# --- the text --------------------------------------------------------------------------------------------------------------

TERM: str = r"(?:(?:\d{1,6} ?\*? ?)?[a-z](?:\^\{?2\}?)?(?![a-z])|\d{1,6}(?![\w.,]\d|\w))"
SIDE: str = rf"-? ?{TERM}(?: ?[+-] ?{TERM})*"
EQUATION: re.Pattern[str] = re.compile(
    rf"(?<![\w\\^*/+\-=(){{}}<>|,.])(?<![\\^*/+\-=(<>|] )(?:(?!-)|(?<![\w)}}\]] ))(?P<left>{SIDE}) ?= ?(?P<right>{SIDE})"
    r"(?! ?[=+\-*/^<>(){}\\|!]|[\w]|\.\d)"
)
SIGNED: re.Pattern[str] = re.compile(r"(-?) ?(?:(\d*) ?\*? ?([a-z])(\^\{?2\}?)?|(\d+))")
BEYOND: re.Pattern[str] = re.compile(
    r"[<>≤≥|≠_;:%]|\\(?!quad\b|text\b|,|;)[a-zA-Z]+|\b[A-Za-z]\(|\b(?:positive|negative|natural|prime|digits?|functions?|graph\w*|lines?|parallel|parabola|"
    r"planes?|distance|circle|triangle|angles?|degrees|axis|plane|slope|polynomials?|sequences?|matri\w+|base|modulo|remainder|divisib\w+|multiples?|odd|"
    r"even|consecutive|complex|system|consider|constants?|where|when|suppose|instead|or|all|every|values|solutions|roots|sum|product|"
    r"difference|larger|largest|greater|greatest|bigger|biggest|smaller|smallest|least|maximum|minimum|absolute|in terms of|ordered|"
    r"inconsistent|no solution|how many|length|width|radius|area|side|perimeter|each|per|before|after|more than|less than)\b",
    re.IGNORECASE,
)
"""What tells that the equations are not the whole story."""
WHOLE: re.Pattern[str] = re.compile(r"\b(?:integers?|whole numbers?)\b", re.IGNORECASE)
REAL: re.Pattern[str] = re.compile(r"\breal\b", re.IGNORECASE)
ASKED: re.Pattern[str] = re.compile(
    r"\b(?:what is|what's|find|determine|calculate|compute|solve for|(?:value|root|solution) of)(?: the)?"
    r"(?: (?:value|root|solution) of)? (?P<asked>[a-z]{1,2})(?! ?[=+\-*/^(\w])"
    r"|\b(?:what|which) (?:integer|whole number|real number) (?P<named>[a-z])\b"
    r"|\bfor (?P<solved>[a-z])\b[.?!]?\s*\Z"
    r"|\bthe (?:value|root|solution) of (?P<own>[a-z])\^",
    re.IGNORECASE,
)
ASKS: re.Pattern[str] = re.compile(r"\b(?:what is|find|determine|calculate|compute)\b", re.IGNORECASE)
FORMULA: re.Pattern[str] = re.compile(r"\\\(|\\\)|\\\[|\\\]|\$")
HOLLOW: re.Pattern[str] = re.compile(
    r"[=+*/^] ?some\b|\bsome ?[=+*/^]|\bsome(?:x\b| (?:percent|% |dollars each|times|equal)\b)"
    r"|\b(?:by|plus|minus|times|divided by) some(?=[,.?]| and\b| is\b| gives\b)"
)
"""`some` where nothing but a number can stand."""


class _Linear(NamedTuple):
    """One equation as coefficients: letter (or letter^2) -> factor, and the constant, all on the left side."""

    factors: Mapping[str, Fraction]
    constant: Fraction


def in_text(question: str) -> list[Evidence]:
    """What the text alone speaks against itself; empty for nearly every question."""
    hollow: re.Match[str] | None = HOLLOW.search(question[:LONGEST_QUESTION])
    found: list[Evidence] = [Evidence("missing_condition", RULE, _short(hollow[0]))] if hollow else []
    if "=" not in question or len(question) > LONGEST_QUESTION or DRAWING.search(question):
        return found
    text: str = re.sub(r"\s+", " ", FORMULA.sub("", question))
    hits: list[re.Match[str]] = list(EQUATION.finditer(text))
    asked: str = next((hit[hit.lastgroup].lower() for hit in ASKED.finditer(text) if hit.lastgroup), "")
    if not hits or text.count("=") != len(hits) or not (asked or ASKS.search(text)):
        return found
    words: str = text
    for hit in hits:
        words = words.replace(hit[0], " ")
    equations: list[_Linear] = [_linear(hit["left"], hit["right"]) for hit in hits]
    if BEYOND.search(words):
        return found
    spans: str = "; ".join(hit[0].strip() for hit in hits)
    told: tuple[Kind, str] | None = _system(equations, asked, words)
    return [*found, Evidence(told[0], RULE, _short(f"{told[1]}: {spans}"))] if told else found


def _short(span: str) -> str:
    return " ".join(span.split())[:LONGEST]


def _linear(left: str, right: str) -> _Linear:
    factors: dict[str, Fraction] = {}
    constant = Fraction(0)
    for side, sign in ((left, 1), (right, -1)):
        for minus, times, letter, square, number in SIGNED.findall(side.replace("- ", "-")):
            factor = Fraction(sign * (-1 if minus else 1))
            if number:
                constant += factor * int(number)
                continue
            name: str = letter + ("^2" if square else "")
            factors[name] = factors.get(name, Fraction(0)) + factor * int(times or 1)
    return _Linear({name: factor for name, factor in factors.items() if factor}, constant)


def _system(equations: Sequence[_Linear], asked: str, words: str) -> tuple[Kind, str] | None:
    """Why these equations do not give what is asked, with the rule; None where they do or the rules cannot tell."""
    names: set[str] = set().union(*(each.factors for each in equations))
    letters: set[str] = {name[0] for name in names}
    if asked and not set(asked) & letters:
        known: bool = re.search(rf"(?<![A-Za-z'’]){asked}(?![A-Za-z'’])", _unasked(words)) is not None
        return (
            None if known or len(asked) > 1 or asked in "ai" else ("missing_condition", f"{asked} stands nowhere else")
        )
    if len(names) > len(letters) or any("^" in name for name in names):
        return _quadratic(equations[0], asked, words) if len(equations) == len(letters) == 1 else None
    if not names or not set(asked) <= letters:
        return None
    solved: Mapping[str, Fraction] | None = _solved(equations, sorted(names))
    if solved is None:
        return "contradiction", "cannot both hold" if len(equations) > 1 else "cannot hold"
    if not asked:
        return None
    if WHOLE.search(words):
        broken: bool = any(value.denominator > 1 for name, value in solved.items() if name in asked)
        return ("unsolvable", "no whole number") if broken else None
    if set(asked) <= set(solved) or (set(asked) & {name for name, value in solved.items() if not value}):
        return None
    return "missing_condition", "more unknowns than relations"


def _unasked(words: str) -> str:
    """The words without the question for a letter."""
    return ASKED.sub(" ", words)


def _quadratic(equation: _Linear, asked: str, words: str) -> tuple[Kind, str] | None:
    a, b = (equation.factors.get(name, Fraction(0)) for name in (f"{asked}^2", asked))
    under: Fraction = b * b - 4 * a * equation.constant
    if under > 0 and not WHOLE.search(words):
        return "several_answers", "two roots"
    return ("unsolvable", "no real root") if under < 0 and REAL.search(words) else None


def _solved(equations: Sequence[_Linear], names: Sequence[str]) -> Mapping[str, Fraction] | None:
    """Letters that the equations determine, with their values; None where the equations contradict one another."""
    rows: list[list[Fraction]] = [
        [*(each.factors.get(name, Fraction(0)) for name in names), -each.constant] for each in equations
    ]
    pivots: dict[int, list[Fraction]] = {}
    for column in range(len(names)):
        row = next((each for each in rows if each[column]), None)
        if row is None:
            continue
        rows.remove(row)
        pivot: list[Fraction] = [value / row[column] for value in row]
        rows = [_less(each, pivot, column) for each in rows]
        pivots = {at: _less(each, pivot, column) for at, each in pivots.items()} | {column: pivot}
    if any(row[-1] for row in rows):
        return None
    return {names[at]: each[-1] for at, each in pivots.items() if sum(map(bool, each[:-1])) == 1}


def _less(row: list[Fraction], pivot: list[Fraction], column: int) -> list[Fraction]:
    return [value - row[column] * other for value, other in zip(row, pivot, strict=True)]


# --- the answers -----------------------------------------------------------------------------------------------------------

COUNTED: re.Pattern[str] = re.compile(
    r"\bhow many (?P<things>[^?.,;]{1,60}?)"
    r"(?= (?:are|is|do|does|did|will|can|could|would|has|have|had|were|was|must|should|remain|get|in|of)\b|[?.,;])",
    re.IGNORECASE,
)
MEASURED: re.Pattern[str] = re.compile(
    r"\b(?:hours?|minutes?|seconds?|days?|weeks?|months?|years?|dollars?|cents?|euros?|money|pounds?|ounces?|grams?|kilograms?|kg|lbs?|"
    r"miles?|kilomet\w+|met(?:er|re)s?|centimet\w+|millimet\w+|k?m|[cm]m|inch(?:es)?|feet|foot|yards?|cups?|gallons?|lit(?:er|re)s?|ml|"
    r"\w*spoons?|pints?|quarts?|acres?|square|cubic|degrees?|percent\w*|units?|times|more|fewer|less|tons?|points?|pizzas?|pies?|"
    r"loa(?:f|ves)|servings?|miles|laps?|fraction\w*|units?|radians?|calories|bushels?|knots?|bits?|rotations?|revolutions?|solutions?)\b",
    re.IGNORECASE,
)
"""What need not be whole."""
EXTENT: re.Pattern[str] = re.compile(
    r"(?!.*\b(?:more|fewer|less)\b)(?:\w+ )?(?:hours?|minutes?|seconds?|days?|weeks?|months?|years?|ounces?|grams?|kilograms?|kg|lbs?|"
    r"miles?|kilomet\w+|met(?:er|re)s?|centimet\w+|inch(?:es)?|feet|yards?|cups?|gallons?|lit(?:er|re)s?|acres?)\b.*",
    re.IGNORECASE,
)
"""What may be in pieces, but not below zero."""
NUMBER: re.Pattern[str] = re.compile(
    r"\$?(?P<sign>-?)\s*(?:(?P<whole>[\d,]*\.?\d+)(?:/(?P<below>\d+))?|\\[dt]?frac\{(?P<above>\d+)\}\{(?P<under>\d+)\})\$?"
)


def number_of(answer: str) -> Fraction | None:
    """The value of a plain number, decimal or fraction of at most LONGEST characters; None for anything else."""
    text: str = answer.strip()
    hit: re.Match[str] | None = NUMBER.fullmatch(text) if len(text) <= LONGEST else None
    if hit is None:
        return None
    above, below = hit["above"] or hit["whole"].replace(",", ""), hit["under"] or hit["below"] or "1"
    if not int(below) or not above.replace(".", ""):
        return None
    return Fraction(above) / int(below) * (-1 if hit["sign"] else 1)


def in_answers(question: str, answer: str, votes: Sequence[str]) -> list[Evidence]:
    """Answers that no number of things can be: below zero, or not whole; a measure may be in pieces."""
    counted: re.Match[str] | None = COUNTED.search(question)
    if counted is None:
        return []
    pieces: bool = MEASURED.search(counted["things"]) is not None
    if pieces and not EXTENT.fullmatch(counted["things"].strip()):
        return []
    told: list[tuple[str, Fraction]] = [
        (each, value) for each in (votes or (answer,)) if (value := number_of(each)) is not None
    ]
    broken: list[str] = [each for each, value in told if value < 0 or (value.denominator > 1 and not pieces)]
    if not broken:
        return []
    score: float = RULE * len(broken) / len(votes) if votes else ANSWER
    return [Evidence("unsolvable", score, _short(f"{counted[0]}: {broken[0]}"))]


def classes(votes: Sequence[str]) -> list[tuple[str, int]]:
    """Classes of equal votes, largest first: the first vote of each, and how many there are. Only the first MOST classes grow by votes that
    are written otherwise."""
    found: dict[str, int] = {}
    class_of: dict[str, str] = {}
    for vote in votes:
        if vote not in class_of:
            class_of[vote] = next((each for each in islice(found, MOST) if grade(each, vote).equal), vote)
        found[class_of[vote]] = found.get(class_of[vote], 0) + 1
    return sorted(found.items(), key=lambda each: -each[1])


def entropy(sizes: Sequence[int]) -> float:
    """Bits over classes of these sizes: 0 where there is one, log2 of their number where all are alike."""
    whole: int = sum(sizes)
    return max(0.0, sum(size / whole * math.log2(whole / size) for size in sizes))


def in_votes(sizes: Sequence[int]) -> list[Evidence]:
    """Votes that scatter, or that two answers share."""
    votes: int = sum(sizes)
    if len(sizes) < 2:
        return []
    told: str = " + ".join(map(str, sizes))
    if sizes[1] > 1 and 4 * (sizes[0] + sizes[1]) >= 3 * votes:
        return [Evidence("several_answers", 2 * sizes[1] / votes, _short(f"votes {told}"))]
    score: float = entropy(sizes) / math.log2(votes) * (1 - 1 / votes)
    return [Evidence("missing_condition", score, _short(f"votes {told}"))]


# --- what was said ---------------------------------------------------------------------------------------------------------

SAYINGS: Mapping[Kind, re.Pattern[str]] = {
    "contradiction": re.compile(
        r"\bcontradict(?:s|ory|ing|ion)?\b|\binconsistent\b|\bcannot (?:both|all) (?:be|hold)\b|\bcan['’]t both\b"
        r"|\bstatements cannot\b|\bincompatible\b",
        re.IGNORECASE,
    ),
    "missing_condition": re.compile(
        r"\b(?:not|n['’]t)(?: \w+){0,2} (?:enough|sufficient) (?:information|data|details|conditions)\b"
        r"|\binsufficient (?:information|data)\b"
        r"|\b(?:cannot|can['’]?t|can not|could not) be (?:uniquely )?(?:determined|answered|worked out)\b"
        r"|\bimpossible to (?:determine|tell|know|say|answer)\b|\b(?:information|number|value|condition)s? (?:is|are) (?:missing|lacking)\b"
        r"|\b(?:numbers?|values?|prices?|amounts?|information|we need|needed|it)\b[^.\n]{0,30} (?:is|are) (?:not|never|nowhere) "
        r"(?:given|stated|specified|provided)\b|\bundetermined\b|\bindeterminate\b|\bunder-?determined\b",
        re.IGNORECASE,
    ),
    "several_answers": re.compile(
        r"\b(?:not|no) unique\b|\bnot uniquely\b|\b(?:more than one|several|multiple) (?:values?|answers?|solutions?)\b|\bambiguous\b"
        r"|\b(?:more than one|several) [^.\n]{0,20}\bpossible\b|\binfinitely many\b|\bnothing (?:says|tells us) which\b",
        re.IGNORECASE,
    ),
    "unsolvable": re.compile(
        r"\bno (?:real |integer |whole[- ]number |valid |possible )?solutions?\b|\bno such (?:\w+ )?(?:\w+ )exists?\b|\bunsolvable\b"
        r"|\bdoes not exist\b|\A\W*(?:impossible|not possible|none)\W*\Z",
        re.IGNORECASE,
    ),
}
EXPECTED: re.Pattern[str] = re.compile(
    r"\bno (?:real |integer )?solutions?\b|\bnone\b|\bundefined\b|\bexists?\b|\binfinite\w*|\bdetermined?\b|\b(?:im)?possible\b"
    r"|\bhow many\b[^.?]{0,60}\b(?:solutions?|values?|roots?|ways)\b|\bcontradict\w*|\b(?:in)?consistent\b"
    r"|\bunique\w*|\bsolutions\b|\bambiguous\w*|\bvalues\b|\bprove\b",
    re.IGNORECASE,
)
"""A question that such words may be the answer to."""


def _saying(text: str) -> tuple[Kind, str] | None:
    for kind, words in SAYINGS.items():
        hit: re.Match[str] | None = words.search(text)
        if hit is not None:
            return kind, hit[0]
    return None


def in_words(question: str, response: str, answer: str, votes: Sequence[str]) -> list[Evidence]:
    """What the solver says of the question: at the beginning and the end of the response, and in place of answers."""
    if EXPECTED.search(question):
        return []
    found: list[Evidence] = []
    said: tuple[Kind, str] | None = _saying(_ends(response)) or _saying(answer[:LONGEST])
    if said is not None:
        found.append(Evidence(said[0], SAID, _short(said[1])))
    told: list[tuple[Kind, str]] = [each for vote in votes if (each := _saying(vote[:LONGEST])) is not None]
    if told:
        kinds: list[Kind] = [kind for kind, _ in told]
        most: Kind = max(KINDS, key=kinds.count)
        found.append(Evidence(most, len(told) / len(votes), _short(f"vote: {told[0][1]}")))
    return found


def _ends(response: str) -> str:
    """First and last sentences, where a solver speaks of the problem and not of a case in the middle."""
    sentences: list[str] = re.split(r"(?<=[.!?])\s+|\n", response.strip())
    return sentences[0] if len(sentences) < 2 else "\n".join((sentences[0], *sentences[1:][-2:]))
