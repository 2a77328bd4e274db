"""What an answer is: a number, words, a collection of answers, a matrix, or an expression; read without evaluating anything.

Formula  numbers are exact fractions: 1,000 = 1000, 0.50 = 1/2, 1 1/2 = 3/2, 2.5 * 10^{3} = 2500, 0.\\overline{3} = 1/3,
         3 million; a percent sign and a unit stay beside the value, because what they mean depends on the other answer (equivalence.py)
Flow     under mathqa.verify.equivalence
Run      read(r"\frac12 cm") == Answer(kind="number", form=..., value=Fraction(1, 2), unit="cm")
Limits   A trailing word of three letters or more, or of a known unit, is a unit; "5m" without a blank is 5 times m.
         Behind more than a number (2\\sqrt{3} cm) a unit has two letters, and five where it is not a known one.
         Variables are real: |x| < 3 is (-3, 3), and "no solution" is the empty set.
         A calculation or a name (3 + 4 = 7, AB:CD = 3:5, x = 5) says its right side.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from skyloom.mathqa.verify.latex import clean

Kind = Literal["number", "words", "list", "group", "matrix", "expression"]
LONGEST = 20_000  # characters; a longer text is no answer, and is compared as it stands
DIGITS = 2_000  # longer literals and powers are left as text: exact arithmetic on them costs too much
PLAIN = r"(?:(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)"
FRACTION = rf"\\frac ?\{{ ?(-?{PLAIN}) ?\}} ?\{{ ?(-?{PLAIN}) ?\}}"
NUMBER = re.compile(
    rf"(?P<sign>[-+] ?)?(?:(?:(?P<whole>\d+) ?(?=\\frac))?{FRACTION}|(?P<mixed>\d+) (?P<over>\d+) ?/ ?(?P<under>\d+)"
    rf"|(?P<top>{PLAIN}) ?/ ?(?P<bottom>{PLAIN})|(?P<mantissa>{PLAIN}) ?\* ?10 ?\^ ?\{{ ?(?P<ten>[-+]?\d+) ?\}}"
    rf"|(?P<fixed>\d*\.\d*)\\overline ?\{{(?P<cycle>\d+)\}}|(?P<float>\d+(?:\.\d*)?[eE][-+]\d+|\d+\.\d+[eE]\d+)(?![\w.])"
    rf"|(?P<base>\d+) ?\^ ?\{{ ?(?P<power>-?\d+) ?\}}|(?P<plain>{PLAIN}))"
)
UNIT_WORDS = r"[A-Za-z][A-Za-z. -]*(?:\^ ?\{ ?[23] ?\})?(?: ?/ ?[A-Za-z]+)?"
TAIL = re.compile(rf" ?(?P<percent>%|percent(?:age|s)?|per cent|pct)|(?P<blank> ?)(?P<words>{UNIT_WORDS})")
MEASURED = re.compile(rf"(?P<head>.*(?:[\d)}}]|\\pi)) (?P<words>{UNIT_WORDS})")
WORDS = re.compile(r"[^\W\d_]+(?:(?:[ ']|\. ?|(?<=[^\W\d_]{2})-(?=[^\W\d_]{2}))[^\W\d_]+)*[.']?")
SYMBOL = re.compile(
    r"\\?[A-Za-z]+(?: ?_ ?\{[^{}]*\})?'?(?: ?\^ ?\{ ?-1 ?\}(?= ?\())?(?: ?\( ?[A-Za-z0-9](?: ?, ?[A-Za-z])* ?\))?"
    r"|\( ?[A-Za-z](?: ?, ?[A-Za-z])+ ?\)"
)
VARIABLE = re.compile(rf"{SYMBOL.pattern}|\| ?[A-Za-z] ?\|")
BARE = re.compile(rf"{PLAIN}|{FRACTION}|\\[a-z]+|[A-Za-z]")
MIRROR = str.maketrans("()[]", ")(][")
MATRIX = re.compile(r"\\begin ?\{([pbvBV]?matrix|array)\}(?:\{[lcr| ]*\})?((?:(?!\\begin).)*?)\\end ?\{\1\}", re.S)
OPENING = {"(": "(", "[": "[", r"\{": "{", "{": "{", r"\langle": "<"}
CLOSING = (")", "]", r"\}", "}", r"\rangle")
BRACKET = re.compile(r"\\[{}]|\\[lr]angle|[()\[\]{}]")
COMMA = re.compile(r",|;")
SEMICOLON = re.compile(";")
COLON = re.compile(r":(?!=)")
PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![A-Za-z])")
DECIMAL = re.compile(r"-?(\d*)\.(\d+)")
JOIN = re.compile(r",?(?<=[ \d)}])(?:and|or)(?=[ \d(\\])")
MEMBER = re.compile(rf",|;|\\cup(?![A-Za-z])|{JOIN.pattern}")
RELATION = re.compile(r"(?<![<>!=:])=(?!=)|\\in(?![A-Za-z])")
NAME = r"(?:m? ?\\[a-z]+ ?)?\{? ?[A-Z]+(?: ?_ ?\{[^{}]*\})? ?\}?"
QUANTITY = re.compile(  # of a figure: |AB|, AB:CD, \frac{AB}{CD}, \angle ABC
    rf"{NAME}|\| ?{NAME} ?\||{NAME} ?[:/] ?{NAME}|\\frac ?\{{ ?{NAME} ?\}} ?\{{ ?{NAME} ?\}}"
)
KNOWN = re.compile(r"\\(?:frac|sqrt|pi|binom|log|ln|sin|cos|tan)(?![A-Za-z])")
CHOICE = re.compile(r"\( ?([A-J]) ?\) +(?=[\w\\$(-])(.+)|([A-J])(?:\)|\.(?= )) ?(.+)", re.S)
ORDER = re.compile(r"<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z])")
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
# Short or written in several ways; any other word of three letters or more is taken as a unit as it stands, without a plural s.
UNITS = {
    "cm": "centimeter", "mm": "millimeter", "km": "kilometer", "m": "meter", "in": "inch", "inches": "inch", "ft": "foot",
    "feet": "foot", "yd": "yard", "mi": "mile", "kg": "kilogram", "g": "gram", "mg": "milligram", "lb": "pound", "lbs": "pound",
    "oz": "ounce", "l": "liter", "ml": "milliliter", "s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour",
    "hrs": "hour", "mph": "mile hour", "usd": "dollar", "buck": "dollar", "bucks": "dollar", "am": "am", "pm": "pm", "sq": "square",
    "metre": "meter", "litre": "liter", "rad": "radian", "people": "person", "children": "child", "hz": "hertz",
}  # fmt: skip
ASIDE: frozenset[str] = frozenset(("of", "in", "for", "each"))  # "liters of water" are liters
LINKS: frozenset[str] = ASIDE | {"per", "the", "a", "an", "and"}
NOTHING: frozenset[str] = frozenset(
    ("no solution", "no solutions", "no real solution", "no real solutions", "empty set", "the empty set")
)
REALS: frozenset[str] = frozenset(("all real numbers", "all reals", "real numbers", "the set of all real numbers"))
NO_UNIT: frozenset[str] = frozenset(
    [
        *("and", "or", "if", "then", "else", "where", "for", "all", "no", "none", "to", "from"),
        *("sin", "cos", "tan", "log", "exp", "sqrt", "mod", "infty", "pi"),
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer, read."""

    kind: Kind
    form: str
    """Cleaned spelling without blanks; of words, their normal form."""
    text: str
    """Cleaned spelling, for the computer algebra."""
    value: Fraction | None = None
    """Of a number, before any percent sign is applied."""
    percent: bool = False
    unit: str = ""
    symbol: str = ""
    """What stood before the equals sign in "x = 5"."""
    brackets: str = ""
    """Of a group: "()", "[)", "{}" and so on; of a matrix its environment."""
    parts: tuple["Answer", ...] = ()
    choice: str = ""
    """The letter of an option that is written out: "(B) 5"."""


def read(text: str) -> Answer:
    """Any text is some kind of answer; never raises."""
    if len(text) > LONGEST:
        return _expression("".join(text.split()))
    cleaned = clean(text)
    choice = CHOICE.fullmatch(cleaned)
    if choice is None:
        return _read(cleaned, depth=0)
    return replace(_read((choice[2] or choice[4]).strip(), depth=0), choice=choice[1] or choice[3])


def _read(text: str, depth: int) -> Answer:
    if depth > 6:  # nested deeper than any answer: compared as text
        return _expression(text)
    number = _number(text)
    if number is not None:
        return number
    if WORDS.fullmatch(text) and (len(text) == 1 or any(len(word) > 1 and _vowel(word) for word in text.split())):
        return _words(text)
    if text == r"\reals":
        return _words("real numbers")
    sides = [side.strip() for side in _split(text, RELATION)]
    named = len(sides) > 1 and bool(SYMBOL.fullmatch(sides[0]) or QUANTITY.fullmatch(sides[0]))
    if named and len(sides) == 2 and (number := _number(sides[1])) is not None:  # x = 1,000 is no list
        return _named(number, sides[0])
    parts = _split_list(text)
    if len(parts) > 1:
        members = [_read(part, depth + 1) for part in parts]
        return _collection("list", text, tuple(each for one in members for each in _members(one)))
    if len(sides) > 1 and all(sides) and _constant(sides[0]):
        if SYMBOL.fullmatch(sides[-1]):
            return _named(_read(sides[0], depth + 1), sides[-1])  # 2 = x
        if _constant(sides[-1]):
            return _read(sides[-1], depth + 1)  # a calculation: 3 + 4 = 7
    if named and all(sides):
        return _named(_read(sides[-1], depth + 1), sides[0])
    return (
        _interval(text, depth)
        or _grouped(text, depth)
        or _measured(text, depth)
        or _ratio(text, depth)
        or _expression(text)
    )


def _words(text: str) -> Answer:
    """Words in one case; what they call the empty set or the real numbers is that set."""
    word = text if len(text) == 1 else re.sub(r"[\s.'-]+", " ", text).strip().casefold()
    if word in NOTHING:
        return Answer(kind="group", form=word, text=r"\{\}", brackets="{}")
    if word in REALS:
        return replace(_read(r"(-\infty,\infty)", 1), form="R")  # a plain R is read as a variable, and means the same
    return Answer(kind="words", form=word, text=text)


def _members(answer: Answer) -> tuple[Answer, ...]:
    return answer.parts if answer.kind == "list" else (answer,)


def _ratio(text: str, depth: int) -> Answer | None:
    """1:2:3 and 2:4:6 alike: numbers are divided by the first. A ratio of two is a quotient."""
    sides = [side.strip() for side in _split(text, COLON)]
    if len(sides) < 3 or not all(sides):
        return None
    parts = [_read(side, depth + 1) for side in sides]
    values = [part.value for part in parts]
    first = values[0]
    if first and None not in values:
        parts = [_of_value(str(value / first), value / first) for value in values if value is not None]
    return _collection("group", text, tuple(parts), ":")


def _measured(text: str, depth: int) -> Answer | None:
    """A constant that is more than a number, with its unit: 2\\sqrt{3} cm, 3:30 pm."""
    hit = MEASURED.fullmatch(text)
    unit = _unit(hit["words"], spaced=False) if hit and _constant(hit["head"]) else None
    return replace(_read(hit["head"], depth + 1), unit=unit) if hit and unit and "|" not in unit else None


def _interval(text: str, depth: int) -> Answer | None:
    """ "a < x \\le b" as (a, b] of x, and "x > a" as (a, \\infty); other inequalities are expressions."""
    sides = [side.strip() for side in _split(text, ORDER)]
    signs = ["<" if "<" in sign or "le" in sign else ">" for sign in ORDER.findall(text)]
    closed = ["e" in sign for sign in ORDER.findall(text)]
    if not all(sides) or len(sides) != len(signs) + 1 or len(set(signs)) != 1 or len(sides) > 3:
        return None
    if signs[0] == ">":
        sides, closed = sides[::-1], closed[::-1]
    if len(sides) == 2:
        at = next((k for k in (0, 1) if VARIABLE.fullmatch(sides[k]) and not VARIABLE.fullmatch(sides[1 - k])), None)
        if at is None:
            return None
        sides, closed = ([r"-\infty", *sides], [False, *closed]) if at == 0 else ([*sides, r"\infty"], [*closed, False])
    if not VARIABLE.fullmatch(sides[1]):
        return None
    if sides[1].startswith("|"):
        return replace(_absolute(sides, closed, depth), symbol=sides[1].strip("| "))
    brackets = ("[" if closed[0] else "(") + ("]" if closed[1] else ")")
    ends = (_read(sides[0], depth + 1), _read(sides[2], depth + 1))
    return replace(_collection("group", text, ends, brackets), symbol=sides[1].replace(" ", ""))


def _absolute(sides: list[str], closed: list[bool], depth: int) -> Answer:
    """a < |x| < b of a real x, as the union of (-b, -a) and (a, b); without a, as (-b, b)."""
    low, _, high = sides
    left, right = "[" if closed[0] else "(", "]" if closed[1] else ")"
    minus, least = (f"-{end}" if BARE.fullmatch(end) else f"-({end})" for end in (high, low))
    upper = f"{high}{right}"
    opening = right.translate(MIRROR)
    if low == r"-\infty":
        return _read(f"{opening}{minus},{upper}", depth + 1)
    return _read(rf"{opening}{minus},{least}{left.translate(MIRROR)}\cup {left}{low},{upper}", depth + 1)


def _number(text: str) -> Answer | None:
    """A number with its percent sign or unit, if that is all the text holds."""
    hit = NUMBER.match(text)
    value = _value(hit) if hit is not None else None
    if hit is None or value is None:
        return None
    rest = text[hit.end() :]
    if not rest.strip():
        return _of_value(text, value)
    tail = TAIL.fullmatch(rest)
    if tail is None:
        return None
    if tail["percent"]:
        return replace(_of_value(text, value), text=str(value / 100), percent=True)
    unit = _unit(tail["words"], spaced=bool(tail["blank"]))
    if unit is None:
        return None
    scale, _, unit = unit.rpartition("|")
    return _of_value(text, value * int(scale), unit) if scale else _of_value(text, value, unit)


def _of_value(text: str, value: Fraction, unit: str = "") -> Answer:
    # The computer algebra reads mixed numbers and units in its own ways; decimals keep their digits, which tell their rounding.
    exact = text if DECIMAL.fullmatch(text) else str(value)
    return Answer(kind="number", form=_form(text), text=exact, value=value, unit=unit)


def _value(hit: re.Match[str]) -> Fraction | None:
    """The exact value of a NUMBER; None for a zero denominator and for what is too long to compute here."""
    if hit.end() - hit.start() > DIGITS:
        return None
    named = hit.groupdict()
    top, bottom = hit[3], hit[4]  # the arguments of \frac
    try:
        if named["cycle"]:
            point, digits = named["fixed"].partition(".")[2], named["cycle"]
            value = _decimal(named["fixed"]) + Fraction(int(digits), (10 ** len(digits) - 1) * 10 ** len(point))
        elif named["float"]:
            if abs(int(re.split("[eE]", named["float"])[1])) > DIGITS:
                return None
            value = Fraction(named["float"])
        elif top is not None:
            value = _decimal(top) / _decimal(bottom) + (int(named["whole"]) if named["whole"] else 0)
        elif named["mixed"]:
            value = int(named["mixed"]) + Fraction(int(named["over"]), int(named["under"]))
        elif named["top"]:
            value = _decimal(named["top"]) / _decimal(named["bottom"])
        elif named["mantissa"]:
            if abs(int(named["ten"])) > DIGITS:
                return None
            value = _decimal(named["mantissa"]) * Fraction(10) ** int(named["ten"])
        elif named["base"]:
            if abs(int(named["power"])) * len(named["base"]) > DIGITS:
                return None
            value = Fraction(int(named["base"])) ** int(named["power"])
        else:
            value = _decimal(named["plain"])
    except ZeroDivisionError:
        return None
    return -value if (named["sign"] or "").startswith("-") else value


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").rstrip(".") or "0")


def _unit(words: str, *, spaced: bool) -> str | None:
    """The unit in one spelling, "scale|unit" where it begins with a word such as million; None where it is no unit."""
    power = re.search(r"\^ ?\{ ?([23]) ?\}", words)
    tokens = re.findall(r"[a-z]+", words[: power.start() if power else None].replace(".", "").lower())
    scale = 1
    while tokens and tokens[0] in SCALES:
        scale *= SCALES[tokens.pop(0)]
    if tokens and not all(
        _is_unit(token, spaced=spaced) or (spaced and token in LINKS and k) for k, token in enumerate(tokens)
    ):
        return None
    cut = next((k for k, token in enumerate(tokens) if token in ASIDE), len(tokens))
    names = [
        UNITS.get(token) or UNITS.get(token.removesuffix("s")) or token.removesuffix("s")
        for token in tokens[:cut]
        if token not in LINKS
    ]
    if power:
        names.insert(0, "square" if power[1] == "2" else "cubic")
    return f"{scale}|{' '.join(names)}" if scale > 1 else " ".join(names)


def _is_unit(token: str, *, spaced: bool) -> bool:
    if token in NO_UNIT:
        return False
    if token in UNITS:
        return spaced or len(token) > 1
    return len(token) >= (3 if spaced else 5) and _vowel(token)


def _vowel(text: str) -> bool:
    return any(letter in "aeiouyAEIOUY" for letter in text)


def _expression(text: str) -> Answer:
    return Answer(kind="expression", form=_form(text), text=text)


def _form(text: str) -> str:
    """Without blanks and multiplication signs, but for those between digits."""
    return re.sub(r"(?<!\d)[* ]|[* ](?!\d)", "", re.sub(r" ?\* ?", "*", text))


def _collection(kind: Kind, text: str, parts: tuple[Answer, ...], brackets: str = "") -> Answer:
    return Answer(kind=kind, form=_form(text), text=text, brackets=brackets, parts=parts)


def _constant(text: str) -> bool:
    """Digits, and no letters but those of functions and pi."""
    bare = KNOWN.sub("", text)
    return any(sign.isdigit() for sign in bare) and "\\" not in bare and not any(sign.isalpha() for sign in bare)


def _named(answer: Answer, name: str) -> Answer:
    return replace(answer, symbol=name.replace(" ", ""))


def _grouped(text: str, depth: int) -> Answer | None:
    """Matrices, tuples, intervals, sets; brackets around one thing are taken off."""
    matrix = MATRIX.fullmatch(text)
    if matrix:
        rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr", matrix[2]) if row.strip()]
        cells = [tuple(_read(cell.strip(), depth + 1) for cell in row.split("&")) for row in rows]
        kind = "vmatrix" if matrix[1] in ("vmatrix", "Vmatrix") else "matrix"
        return _collection("matrix", text, tuple(_collection("group", "", row, "row") for row in cells), kind)
    opening = next((mark for mark in OPENING if text.startswith(mark)), "")
    end = _matching(text) if opening else None
    if end is None:
        return None
    shut = next(mark for mark in CLOSING if text.endswith(mark))
    inner = text[len(opening) : -len(shut)].strip()
    if not inner and opening == r"\{":
        return _collection("group", text, (), "{}")
    parts = _split(inner, COMMA)
    if len(parts) == 1 and (opening in ("(", "{") or (opening == "[" and shut == "]" and MATRIX.fullmatch(inner))):
        return _read(inner, depth + 1)
    brackets = "{}" if opening in ("{", r"\{") else OPENING[opening] + shut
    return _collection("group", text, tuple(_read(part.strip(), depth + 1) for part in parts), brackets)


def _matching(text: str) -> int | None:
    """Length of the text where its first bracket closes at its end; None otherwise."""
    depth = 0
    for hit in BRACKET.finditer(text):
        depth += 1 if hit[0] in OPENING else -1
        if depth == 0:
            return hit.end() if hit.end() == len(text) else None
    return None


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """The pieces between separators that stand outside all brackets."""
    depth, start, pieces = 0, 0, list[str]()
    for hit in re.finditer(rf"{BRACKET.pattern}|{separator.pattern}", text):
        if BRACKET.fullmatch(hit[0]):
            depth += 1 if hit[0] in OPENING else -1
        elif depth == 0:
            pieces.append(text[start : hit.start()])
            start = hit.end()
    return [*pieces, text[start:]]


def _split_list(text: str) -> list[str]:
    """Members of "1, 2 and 3", of a union, of "a \\pm b", of "p=1,q=2; p=3,q=4"; the text alone where it is none of these."""
    if MATRIX.fullmatch(text):
        return [text]
    for outer in (SEMICOLON, JOIN):
        pieces = [piece.strip() for piece in _split(text, outer)]
        rows = [[part.partition("=") for part in _split(piece, COMMA)] for piece in pieces]
        named = {tuple(name.strip() for name, sign, _ in row if sign) for row in rows}
        whole = outer is SEMICOLON or (len(named) == 1 and len(next(iter(named))) == len(rows[0]))
        if len(rows) > 1 and whole and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
            return [f"({piece})" for piece in pieces]
    parts = [part.strip() for part in _split(text, MEMBER)]
    if len(parts) == 1 and len(PLUS_MINUS.findall(text)) == 1:
        return [PLUS_MINUS.sub(sign, text).strip() for sign in "+-"]
    return [part for part in parts if part]
