"""When two answers are equal: exact rules in front; what they cannot decide is left to a `leaf`, the computer algebra.

Formula  the rule that decided is named in the verdict (RULES); the rules are symmetric in the two answers
Source   ours; they are written against the false positives that graders with stripped brackets, relative tolerances and
         unconditional factors of 100 are known for (-(x+1) is not -x+1, 123456 not 123457, 50 not 0.5, 100 not 1)
Flow     under mathqa.verify.grading, in the caller's process without a leaf, in the worker with SymPy as leaf
Limits   Some spellings mean two things, and equality is not transitive through them: "60%" is 60 and 0.6, "2,5" is 2.5 and a list,
         "(B) 7" is B and 7, "5" is 5 cm and 5 m. Units are not converted: 5 cm is not 50 mm. Lists of nothing but numbers count
         repeats (1, 1, 2 is not 1, 2, 2), all others do not (3, 3 is 3)
Run      compare("1,000", "1000", undecided) == Outcome(True, "number")
"""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from skyloom.mathqa.verify.answers import DECIMAL, MATRIX, ORDER, Answer, read

RULES: dict[str, str] = {
    "form": "the same cleaned spelling",
    "number": "exact values compared, and units where both have one",
    "rounded": "one side has 12 significant digits or more, and they agree but for the last two: a program's rounding",
    "decimal_comma": "one side is written with a decimal comma, the other with a decimal point",
    "percent": "exactly one side has a percent sign, so its value is divided by 100; without a sign nothing is scaled",
    "percent_unit": "exactly one side has a percent sign and both say the same number above 1: the sign is a unit there",
    "words": "words compared without case and punctuation",
    "list": "every member matched in any order (sets, unions, roots, \\pm); lists of numbers also as often",
    "tuple": "as many members and the same brackets, matched in order (tuples, intervals, matrices, ratios, x = 1, y = 2)",
    "choice": "letters of options; where only one side has a letter, what the option says",
    "kind": "answers of kinds that are never equal, such as a word and a number",
    "algebra": "decided by the computer algebra, wholly or in a member",
    "unreadable": "not spelled alike, and the computer algebra could not read or decide it; not equal",
    "timeout": "the computer algebra was stopped; not equal",
    "memory": "the computer algebra ran out of its memory; not equal",
    "killed": "the system ended the worker process, or it crashed; not equal",
    "no_answer": "no answer found in the prediction; not equal",
}
Leaf = Callable[[str, str], bool | None]
LARGEST_LIST = 64
FLOAT_DIGITS = 12
COMMA_NUMBER = re.compile(r"-?\d+,\d+")
SAME_WORDS = {"true": "yes", "false": "no"}
BASED = re.compile(r"\w+_\{\d+\}")


class Outcome(NamedTuple):
    """Equal or not, or undecided (None), and the rule."""

    equal: bool | None
    by: str


def undecided(gold: str, answer: str) -> bool | None:
    """The leaf that knows nothing."""
    del gold, answer
    return None


def compare(gold: str, answer: str, leaf: Leaf) -> Outcome:
    """Compare two answers as written."""
    return _compare(read(gold), read(answer), leaf)


def _compare(left: Answer, right: Answer, leaf: Leaf) -> Outcome:
    if left.choice or right.choice:
        return _choices(left, right, leaf)
    if left.symbol and right.symbol and left.symbol != right.symbol:
        return Outcome(False, "kind")
    if left.unit and right.unit and left.unit != right.unit:
        return Outcome(False, "number")
    if left.form == right.form and left.form and left.value == right.value:  # 1 1/2 and 11/2 differ
        return Outcome(True, "form")
    if left.value is not None and right.value is not None:
        return _numbers(left, right, left.value, right.value)
    one_named = bool(left.symbol) != bool(right.symbol) and "group" not in (left.kind, right.kind)
    if one_named and "=" in left.text + right.text:  # y = 2x + 3 and 2x - y + 3 = 0
        return _algebra(_whole(left), _whole(right), leaf)
    kinds = {left.kind, right.kind}
    if kinds == {"list", "number"} and (comma := _decimal_comma(left, right)) is not None:
        return comma
    if "words" in kinds:
        return _words(left, right, leaf)
    if kinds == {"list", "group"} and "()" in (left.brackets, right.brackets):  # x = 1, y = 2 and (1, 2)
        named = (_by_name(left), _by_name(right))
        if named != (left, right):
            return _compare(named[0], named[1], leaf)
    if "list" in kinds or "{}" in (left.brackets, right.brackets):
        numbers = all(
            side.kind == "list" and all(one.value is not None for one in side.parts) for side in (left, right)
        )
        return _unordered(_members(left), _members(right), leaf, once=not numbers)
    if kinds == {"group"} or kinds == {"matrix"}:
        return _ordered(left, right, leaf)
    if kinds & {"group", "matrix"}:
        relations = ORDER.search(left.text) and ORDER.search(right.text)  # x < 3 and 2x < 6
        matrices = all(MATRIX.search(side.text) for side in (left, right))  # a sum of matrices
        return _algebra(left.text, right.text, leaf) if relations or matrices else Outcome(False, "kind")
    if BASED.fullmatch(left.form) or BASED.fullmatch(right.form):  # 1011_2: digits to a base are compared as written
        return Outcome(False, "form")
    return _algebra(left.text, right.text, leaf)


def _whole(answer: Answer) -> str:
    return f"{answer.symbol}={answer.text}" if answer.symbol else answer.text


def _numbers(left: Answer, right: Answer, a: Fraction, b: Fraction) -> Outcome:
    if left.percent != right.percent:
        if a == b and abs(a) > 1:
            return Outcome(True, "percent_unit")
        return Outcome((a / 100 if left.percent else a) == (b / 100 if right.percent else b), "percent")
    digits = max(significant(left.text), significant(right.text))
    if a != b and digits >= FLOAT_DIGITS:  # 0.30000000000000004, what programs print
        return Outcome(abs(a - b) * 10 ** (digits - 2) <= max(abs(a), abs(b)), "rounded")
    return Outcome(a == b, "number")


def significant(text: str) -> int:
    """Significant digits of a decimal number, at most the 17 that a float has; 0 for any other text."""
    hit = DECIMAL.fullmatch(text)
    return min(17, len((hit[1] + hit[2]).lstrip("0"))) if hit else 0


def _decimal_comma(left: Answer, right: Answer) -> Outcome | None:
    """ "1,25" is 1.25 beside a number that is written with a point; beside all else it is the list of 1 and 25."""
    comma, point = (left, right) if left.kind == "list" else (right, left)
    value = point.value
    if (
        value is None
        or value.denominator == 1
        or not COMMA_NUMBER.fullmatch(comma.text)
        or not DECIMAL.fullmatch(point.text)
    ):
        return None
    return Outcome(Fraction(comma.text.replace(",", ".")) == value, "decimal_comma")


def _choices(left: Answer, right: Answer, leaf: Leaf) -> Outcome:
    """ "(B) 5" is B and is 5."""
    if left.choice and right.choice:
        return Outcome(left.choice == right.choice, "choice")
    option, other = (left, right) if left.choice else (right, left)
    if len(other.text) == 1 and other.text.isupper():
        return Outcome(option.choice == other.text, "choice")
    return _compare(replace(left, choice=""), replace(right, choice=""), leaf)


def _words(left: Answer, right: Answer, leaf: Leaf) -> Outcome:
    """Words equal nothing but the same words; a single letter may be an expression, so it goes on."""
    if left.kind == right.kind:
        a, b = (SAME_WORDS.get(side.form, side.form) for side in (left, right))
        if max(len(a), len(b)) > 3 or {a, b} & {"yes", "no"}:  # "ab" and "ba" may be products
            return Outcome(a == b, "words")
        return _algebra(left.text, right.text, leaf)
    word, other = (left, right) if left.kind == "words" else (right, left)
    if len(word.form) > 1 or other.kind != "expression":
        return Outcome(False, "kind")
    return _algebra(left.text, right.text, leaf)


def _algebra(left: str, right: str, leaf: Leaf) -> Outcome:
    equal = leaf(left, right)
    return Outcome(equal, "unreadable" if equal is None else "algebra")


def _by_name(answer: Answer) -> Answer:
    """A list whose members have a name each, as the tuple of them."""
    names = [part.symbol for part in answer.parts]
    if answer.kind != "list" or not all(names) or len(set(names)) < len(names):
        return answer
    return replace(answer, kind="group", brackets="()", symbol=f"({','.join(names)})")


def _members(answer: Answer) -> tuple[Answer, ...]:
    whole = answer.kind == "list" or answer.brackets == "{}"
    return answer.parts if whole else (answer,)


def _unordered(left: tuple[Answer, ...], right: tuple[Answer, ...], leaf: Leaf, *, once: bool) -> Outcome:
    """Members matched in any order; `once`: one that stands twice counts once, as in a set or among solutions."""
    if max(len(left), len(right)) > LARGEST_LIST or (len(left) != len(right) and not once):
        return Outcome(False, "list")
    table = [[_compare(a, b, leaf) for b in right] for a in left]
    columns = [[row[k] for row in table] for k in range(len(right))]
    outcome = _all([_best(line) for line in (*table, *columns)], "list")
    return outcome if once or not outcome.equal or _paired(table) else Outcome(False, "list")


def _paired(table: list[list[Outcome]]) -> bool:
    """Has each row a column of its own that it equals? The first free one will do, because equality is transitive."""
    free = list(range(len(table)))
    for row in table:
        hit = next((k for k in free if row[k].equal), None)
        if hit is None:
            return False
        free.remove(hit)
    return True


def _ordered(left: Answer, right: Answer, leaf: Leaf) -> Outcome:
    if left.brackets != right.brackets or len(left.parts) != len(right.parts):
        return Outcome(False, "tuple")
    return _all([_compare(a, b, leaf) for a, b in zip(left.parts, right.parts, strict=True)], "tuple")


def _best(outcomes: list[Outcome]) -> Outcome:
    """Does any hold? Undecided ones may."""
    return max(
        outcomes, key=lambda outcome: (outcome.equal is True, outcome.equal is None), default=Outcome(False, "list")
    )


def _all(outcomes: list[Outcome], rule: str) -> Outcome:
    """Do all hold? One that does not decides, whatever the undecided ones are."""
    if any(outcome.equal is False for outcome in outcomes):
        return Outcome(False, rule)
    unknown = next((outcome for outcome in outcomes if outcome.equal is None), None)
    if unknown is not None:
        return unknown
    return Outcome(True, "algebra" if any(outcome.by == "algebra" for outcome in outcomes) else rule)
