r"""Masking: the numbers of a question that can become the unknown, and the question with one of them unknown.

Formula  a number is masked wherever it stands, in digits, words or LaTeX; in its place comes a letter that nothing else uses
Source   the backward questions of FOBAR (Jiang et al. 2023, arXiv 2308.07758) and MetaMath (Yu et al. 2023, arXiv 2309.12284,
         section 3.3); those cut at blanks, so they miss LaTeX, and mask one copy, so that the others tell it
Flow     under mathqa.augment.fobar and mathqa.augment.self_verification
Run      mask("Find $\\frac{1}{3}$ of 12.", numbers("Find $\\frac{1}{3}$ of 12.")[0]).text == "Find $X$ of 12."
Limits   Not numbers: ordinals, "one", "half", labels ("week 1"), enumerations, dates, times, subscripts, numerals to a base, lists
         that go on with dots, exponents unless asked for. A number that a drawing ([asy]) states too cannot be hidden.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from skyloom.core.rng import stream
from skyloom.core.text.normal import Span
from skyloom.mathqa.operators import Refused
from skyloom.mathqa.records import MARK, Problem
from skyloom.mathqa.verify.answers import read
from skyloom.mathqa.verify.extraction import closing

NEAR: int = 40  # characters before a number that may say what it is
UNKNOWNS: str = "XYZWVUTSRQPNMKHG"  # in this order; O and I look like digits

SMALL: tuple[str, ...] = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS: tuple[str, ...] = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
WORDS: dict[str, int] = {name: k for k, name in enumerate(SMALL)} | {name: 10 * k for k, name in enumerate(TENS, 2)}
SCALES: dict[str, int] = {"thousand": 1_000, "million": 10**6, "billion": 10**9}
PARTS: dict[str, int] = {
    **{"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9},
    **{"tenth": 10, "twelfth": 12},
}
DIGIT: str = "|".join(SMALL[1:10])
BELOW_100: str = rf"(?:(?:{'|'.join(TENS)})(?:-(?:{DIGIT})| (?:{DIGIT})(?!-?[a-z]))?|{'|'.join(SMALL[::-1])})(?![a-z])"
BELOW_1000: str = rf"(?:(?:{BELOW_100}|an?)[ -]hundred(?![a-z])(?:(?: and)?[ -]{BELOW_100})?|{BELOW_100})"
SPELLED: str = rf"(?:{BELOW_1000}|an?)[ -](?:{'|'.join(SCALES)})(?![a-z])(?:,?(?: and)?[ -]{BELOW_1000})?|{BELOW_1000}"
PLAIN: str = r"(?:(?:\d{1,3}(?:(?:,(?:\\!)?|\{,\})\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
FRAC: str = rf"\\[dtc]?frac\s*(?:(?P<top>\d)|\{{\s*(?P<above>{PLAIN})\s*\}})\s*(?:(?P<bottom>\d)|\{{\s*(?P<below>{PLAIN})\s*\}})"
NUMBER: re.Pattern[str] = re.compile(
    rf"(?:(?P<whole>\d+)\s*)?{FRAC}"
    r"|(?P<mixed>\d+) (?P<over>\d+)/(?P<under>\d+)(?![\d/])"
    rf"|(?P<upper>{PLAIN})/(?P<lower>\d+)(?!\.?\d|\s*[/^])"
    rf"|(?:(?P<mantissa>{PLAIN})\s*(?:\\times|\\cdot|×)\s*)?(?<![\d.])10\s*\^\s*"
    r"(?:\{\s*(?P<ten>[-−]?\d{1,2})\s*\}|(?P<power>\d{1,2})(?!\d))"
    rf"|(?P<plain>(?<=binom)\d|(?<=binom\d)\d|{PLAIN})"
    rf"|(?<![A-Za-z\\])(?P<words>{SPELLED})",
    re.IGNORECASE,
)
PIECE: re.Pattern[str] = re.compile(PLAIN)
PART: re.Pattern[str] = re.compile(rf"(?P<join>[- ])(?P<part>{'|'.join(PARTS)})(?P<many>s?)(?![a-z])", re.IGNORECASE)

MONTH: str = (
    r"(?:Jan(?:uary|\.)|Feb(?:ruary|\.)|March|April|May|June|July|Aug(?:ust|\.)|Sept?(?:ember|\.)|Oct(?:ober|\.)"
    r"|Nov(?:ember|\.)|Dec(?:ember|\.))"
)
DRAWING: re.Pattern[str] = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
BARRED: re.Pattern[str] = (
    re.compile(  # where digits are no quantities: layout, addresses, dates, times, series, enumerations
        r"\\begin\s*\{(?:array|tabular)\*?\}(?:\[[^\]]*\])?\s*\{(?:[^{}]|\{[^{}]*\})*\}"
        r"|\\(?:[hv]space\*?|multicolumn|cline|label|ref|tag|color|textcolor|overline|underline)\s*\{[^{}]*\}|\\\\\[[^\]]*\]"
        r"|\\sqrt\s*\[[^\]]*\]|\\(?:hskip|vskip|kern|mkern)\s*[-\d.]+|https?://\S+"
        r"|(?<![\d/])\d+/\d+/\d+|(?<!\d)\d{4}-\d\d?-\d\d?(?!\d)|(?<![\d:])\d{1,2}:\d\d(?!\d)"
        rf"|(?<![\w.])(?:{PLAIN}\s*\$?\s*[,+]\s*\$?\s*)+(?=\\[lc]?dots|\.\.\.|…)"
        r"|^[ \t]*\d{1,2}[.)](?=\s)|(?:(?<=\s)|\A)\(\d{1,2}\)(?=\s)",
        re.MULTILINE,
    )
)
LABEL: re.Pattern[str] = re.compile(  # what makes the number behind it a name
    r"(?:\b(?i:figure|fig\.|table|diagram|problem|question|example|part|step|stage|phase|theorem|lemma|chapter|section|page"
    rf"|week|day|month|year|grade|room|route|highway|flight|level|version|no\.)[ ~]|\b{MONTH} \$?|#)\Z"
)
YEAR: re.Pattern[str] = re.compile(r"\b(?:in|since|until|during|years?) \$?\Z", re.IGNORECASE)
NAMED: re.Pattern[str] = re.compile(  # what makes the number before it a name
    r"\$?-?(?:st|nd|rd|th)(?![a-z])|\$?\s*\^\s*\{?\s*(?:\\(?:text|textrm|mathrm|mbox|rm)\s*\{?\s*)?(?:st|nd|rd|th)(?![a-z])"
    r"|\$?\s?(?:\\text\{\s*)?(?:[ap]\.?m\b|[AP]\.?M\b|o'clock)|\}?\s*_|s(?![A-Za-z])|D(?![A-Za-z])|[A-Za-z]+\d"
    rf"|\.(?:[A-Za-z]|\\(?:overline|bar|dot))|,? (?:of )?{MONTH}(?![a-z])"
)
ORDINAL: re.Pattern[str] = re.compile(r"[- ](?:first|second|\w*third|[a-z]+th)(?![a-z])", re.IGNORECASE)
AGAIN: re.Pattern[str] = re.compile(r"\b(?:the|these|those|all|both|other) \Z", re.IGNORECASE)
SIGNED: re.Pattern[str] = re.compile(  # a minus behind these is a sign
    r"(?:\A|[(\[{=<>,&$:\\]|(?<![A-Za-z\\])[A-Za-z]{2,}(?= )|\\(?:leq?|geq?|neq?|lt|gt|times|cdot|div|to|approx|equiv|pm))\s*\Z"
)
FORMULA: re.Pattern[str] = re.compile(r"\$[^$]+\$|\\\[.*?\\\]|\\\(.*?\\\)", re.DOTALL)
SYMBOL: re.Pattern[str] = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,2}(?![A-Za-z])")

ASKING: re.Pattern[str] = re.compile(  # how a clause begins that asks
    r"(?:\A|(?<=[\s\])}$]))(?:(?:and|then|so|but|now|please) )?(?:(?:by|in|at|on|for|to|of|with|from|after|until|during) )?"
    r"(?:what|which|how|who|whose|when|where|find|compute|determine|evaluate|calculate|solve|simplify|express|give|state|list"
    r"|factor|expand|write|convert|rationalize|round|approximate|add|subtract|multiply|divide)\b",
    re.IGNORECASE,
)
STARTS: re.Pattern[str] = re.compile(r"(?:\A|[.!?;:,][\"')$]*(?:\\[\])])?\s*|\\\]\s*|\$\$\s*|\n)\Z")
NOTE: re.Pattern[str] = re.compile(  # how to write the answer
    r"\(?(?:please )?(?:express|give|write|enter|state|leave|list|round|simplify)\b"
    r"(?: to\b|[^.?]*\b(?:your|answers?|solutions?|results?)\b)",
    re.IGNORECASE,
)
STOP: re.Pattern[str] = re.compile(r"(?<!Mr)(?<!Mrs)(?<!Ms)(?<!Dr)(?<!St)[.?!][$)\"']*(?:\\[\])])?(?=\s|[A-Z]|\Z)")


class Number(NamedTuple):
    """A number of a question."""

    value: str
    """The number in plain digits: 7, -3, 0.25, 1/3."""
    spans: tuple[Span, ...]
    """All its copies, in order; without currency, percent sign and unit, with the sign where every copy has a minus."""


class Masked(NamedTuple):
    """A question with one number unknown."""

    text: str
    unknown: str
    """The letter that stands for it."""
    value: str
    """What it stands for."""
    spans: tuple[Span, ...]
    """Where the number's copies stood, in `text`: the letter and what keeps it apart from its neighbours."""


class Asking(NamedTuple):
    """A problem in two."""

    facts: str
    """The text without its question and without notes on how to write the answer."""
    question: str
    """The last clause that asks."""


class _Value(NamedTuple):
    """A number of any text."""

    start: int
    stop: int
    value: Fraction
    shown: str
    spelled: bool = False


class _Copy(NamedTuple):
    """A number that may be masked."""

    number: _Value
    sign: int
    """Characters of the minus before it."""
    again: bool
    """It refers back ("the two"): no number to begin with."""


def numbers(question: str, *, exponents: bool = False) -> tuple[Number, ...]:
    """The different numbers of a question, by their first copy; `exponents`: numbers above the line count too."""
    drawn: set[Fraction] = {value for hit in DRAWING.finditer(question) for value in _stated(hit[0])}
    copies: dict[Fraction, list[_Copy]] = {}
    for copy in _copies(question, exponents=exponents):
        copies.setdefault(copy.number.value, []).append(copy)
    found: list[Number] = []
    for value, same in copies.items():
        if value in drawn or all(copy.again for copy in same):
            continue
        below: bool = all(copy.sign for copy in same)
        spans = tuple(Span(copy.number.start - below * copy.sign, copy.number.stop) for copy in same)
        shown: str = same[0].number.shown
        found.append(Number(f"-{shown}" if below else shown, spans))
    return tuple(found)


def mask(question: str, number: Number, beside: str = "") -> Masked:
    """The question with every copy of the number replaced by one letter that neither it nor the text `beside` uses as a symbol.

    Raises:
        Refused: no_letter.
    """
    unknown: str = _free_letter(f"{question} {beside}")
    text: str = ""
    spans: list[Span] = []
    done: int = 0
    for start, stop in number.spans:
        text += question[done:start]
        put: str = unknown
        if question[start - 1 : start].isalpha():  # \sqrt2: the command must not swallow the letter
            put = f"{{{unknown}}}"
        elif question[stop : stop + 1].isalnum():  # 3x: Y x
            put = f"{unknown} "
        spans.append(Span(len(text), len(text) + len(put)))
        text += put
        done = stop
    return Masked(text + question[done:], unknown, number.value, tuple(spans))


def choose(problem: Problem, sample: int, *, exponents: bool, used: bool) -> Masked:
    """Mask the number whose turn it is: the order is drawn from the question, so that no two samples mask the same number.

    A number that stands in the answer is never masked: the answer is going to be told. `used`: nor one that the seed's solution does
    not state (where there is one), because the answer may not depend on it.

    Raises:
        Refused: no_number (or fewer than samples), not_used, no_letter.
    """
    told: set[Fraction] = _stated(problem.answer)
    found: list[Number] = [
        number for number in numbers(problem.question, exponents=exponents) if abs(Fraction(number.value)) not in told
    ]
    working, _, last = problem.solution.rpartition("\n")
    working = (working if last.startswith(MARK) else problem.solution).strip()
    usable: list[Number] = [number for number in found if not used or not working or _in_working(number.value, working)]
    if sample >= len(usable):
        raise Refused("not_used" if sample < len(found) else "no_number")
    order = stream(0, "mathqa.masking", problem.question).permutation(len(usable))
    return mask(problem.question, usable[int(order[sample])], problem.answer)


def states(text: str, answer: str) -> bool:
    """Does the text state this answer? Numbers count in any spelling, without their sign; anything else as it is written."""
    value: Fraction | None = read(answer).value
    if value is None:
        return re.sub(r"[\s$]", "", answer).rstrip(".") in re.sub(r"[\s$]", "", text)
    return abs(value) in _stated(text)


def loses(text: str, question: str) -> bool:
    """Does the text lack a number that the question gives, in any spelling? 0 to 3 are not missed: they go into words and into
    what is listed ("twice", "a pair", "both trains")."""
    given: set[Fraction] = {abs(Fraction(number.value)) for number in numbers(question)}
    return not given - {Fraction(small) for small in range(4)} <= _stated(text)


def uses(text: str, unknown: str) -> bool:
    """Does the letter stand in the text as a symbol?"""
    return re.search(rf"(?<![A-Za-z\\]){unknown}(?![A-Za-z]{{2}})", text) is not None


def in_text(answer: str) -> str:
    """The answer as it stands in a sentence: LaTeX between dollar signs."""
    plain: str = answer.strip().rstrip(".")
    return f"${plain}$" if "$" not in plain and re.search(r"[\\^_{]", plain) else plain


def asking(text: str) -> Asking | None:
    """The problem's facts and its question; None where no clause asks."""
    begun: list[int] = [
        hit.start()
        for hit in ASKING.finditer(text)
        if STARTS.search(_before(text, hit.start())) and not NOTE.match(text, hit.start())
    ]
    mark: int = text.rfind("?")
    if not begun and mark < 0:
        return None
    ends: list[int] = [hit.end() for hit in STOP.finditer(text)]
    start: int = begun[-1] if begun else max((end for end in ends if end <= mark), default=0)
    stop: int = next((end for end in ends if end > start), len(text))
    cuts: list[int] = [stop, *(end for end in ends if end > stop), len(text)]
    behind = (text[a:b].strip() for a, b in pairwise(cuts))
    facts: list[str] = [text[:start].strip(), *(piece for piece in behind if not NOTE.match(piece))]
    return Asking(" ".join(filter(None, facts)), text[start:stop].strip())


def _free_letter(text: str) -> str:
    bare: str = re.sub(r"\\[A-Za-z]+", " ", text)
    taken: str = "".join((*SYMBOL.findall(bare), *FORMULA.findall(bare))).upper()
    letter: str | None = next((letter for letter in UNKNOWNS if letter not in taken), None)
    if letter is None:
        raise Refused("no_letter")
    return letter


def _in_working(number: str, working: str) -> bool:
    """Is the number in the working, also as a share of 100, as what it lacks of 100, or by its denominator?"""
    value: Fraction = abs(Fraction(number))
    near: set[Fraction] = {value, value / 100, value * 100, abs(1 - value / 100), abs(100 - value)}
    if value.denominator > 1:
        near.add(Fraction(value.denominator))
    return not near.isdisjoint(_stated(working))


def _stated(text: str) -> set[Fraction]:
    """Every number of a text without its sign, whatever its role, and the numbers within fractions and powers."""
    return {each.value for each in _values(text)} | {Fraction(_digits(hit[0])) for hit in PIECE.finditer(text)}


def _copies(text: str, *, exponents: bool) -> Iterator[_Copy]:
    """The numbers of a question that may be masked, in order."""
    barred: list[Span] = _barred(text, exponents=exponents)
    for number in _values(text):
        if any(start <= number.start < stop for start, stop in barred):
            continue
        before: str = _before(text, number.start)
        if number.spelled:
            named = number.value == 1 or ORDINAL.match(text, number.stop) or LABEL.search(before)
            again: bool = AGAIN.search(before) is not None
        else:
            named, again = _is_name(text, number.start, number.stop), False
        if not named:
            sign = int(before.endswith(("-", "−")) and SIGNED.search(before[:-1]) is not None)
            yield _Copy(number, sign, again)


def _barred(text: str, *, exponents: bool) -> list[Span]:
    """Places whose digits are no quantities."""
    spans: list[Span] = [Span(*hit.span()) for each in (DRAWING, BARRED) for hit in each.finditer(text)]
    for hit in re.finditer(r"[_^]", text):
        if text.startswith("{", hit.end()):
            stop: int = closing(text, hit.end()) or len(text)
        else:
            end = re.compile(r"-?\d+|\S?").match(text, hit.end())
            stop = end.end() if end else hit.end()
        if hit[0] == "_" or not exponents or text[hit.end() : stop].strip("{ ") == "-1":  # f^{-1} is a name
            spans.append(Span(hit.start(), stop))
    return spans


def _before(text: str, place: int) -> str:
    return text[max(0, place - NEAR) : place]


def _is_name(text: str, start: int, stop: int) -> bool:
    """Are these digits part of a name: B12, 3D, 5th, page 7, in 1999?"""
    before: str = _before(text, start)
    letters: re.Match[str] | None = re.search(r"\\?[A-Za-z]+\Z", before)
    if letters is not None and not letters[0].startswith("\\"):
        return True
    if re.search(r"(?<!binom)\d\.?\Z", before) or LABEL.search(before) or NAMED.match(text, stop):
        return True
    return re.fullmatch(r"1[5-9]\d\d|20\d\d", text[start:stop]) is not None and YEAR.search(before) is not None


def _values(text: str) -> Iterator[_Value]:
    """All numbers of a text, in order, whatever their role."""
    for hit in NUMBER.finditer(text):
        start, stop = hit.span()
        if hit["words"] is not None:
            yield _spelled(text, start, stop)
            continue
        plain: str | None = hit["plain"]
        pair: bool = (
            plain is not None
            and "," in plain
            and re.search(r"(?:[(\[,]|\\\{)\Z", _before(text, start)) is not None
            and re.match(r"[)\],]|\\\}", text[stop : stop + 2]) is not None
        )  # (100,200)
        value: Fraction | None = None if plain is not None else _composed(hit)
        if value is not None:
            yield _Value(start, stop, value, str(value))
        elif plain is not None and not pair:
            yield _Value(start, stop, Fraction(_digits(plain)), _digits(plain))
        else:
            for piece in re.finditer(r"\d+(?:\.\d+)?", hit[0]):
                shown: str = _digits(piece[0])
                yield _Value(start + piece.start(), start + piece.end(), Fraction(shown), shown)


def _composed(hit: re.Match[str]) -> Fraction | None:
    """The value of a fraction, a mixed number or a power of ten; None over zero."""
    ten: str | None = hit["ten"] or hit["power"]
    if ten is not None:
        return Fraction(_digits(hit["mantissa"] or "1")) * Fraction(10) ** int(ten.replace("−", "-"))
    above: str = hit["top"] or hit["above"] or hit["over"] or hit["upper"]
    below = Fraction(_digits(hit["bottom"] or hit["below"] or hit["under"] or hit["lower"]))
    return int(hit["whole"] or hit["mixed"] or 0) + Fraction(_digits(above)) / below if below else None


def _digits(text: str) -> str:
    plain: str = re.sub(r"[^\d.]", "", text)
    return f"0{plain}" if plain.startswith(".") else plain


def _spelled(text: str, start: int, stop: int) -> _Value:
    """A number in words, with the denominator behind it: "two hundred and five", "three fifths"."""
    total = group = 0
    for word in re.findall(r"[a-z]+", text[start:stop].lower()):
        if word == "hundred":
            group = (group or 1) * 100
        elif word in SCALES:
            total, group = total + (group or 1) * SCALES[word], 0
        else:
            group += WORDS.get(word, 0)
    value = total + group
    part: re.Match[str] | None = PART.match(text, stop)
    if part is None or not value or (part["many"] != "") != (value > 1):
        return _Value(start, stop, Fraction(value), str(value), spelled=True)
    coins: bool = part["part"].lower() == "quarter" and part["join"] == " " and not text.startswith(" of ", part.end())
    if coins:
        return _Value(start, stop, Fraction(value), str(value), spelled=True)
    share = Fraction(value, PARTS[part["part"].lower()])
    return _Value(start, part.end(), share, str(share), spelled=True)
