"""The grammar of math problems: draw one, word it, read it back from its text alone, solve it.

A problem is one of grammar.toml's kinds, with any number of further steps done to its result (", if in the end the result is
doubled, then 4 is added to the result?") and of sentences before it that say where it comes up (composition.toml).

Source   ours; kinds, wordings and solutions stand in grammar.toml and composition.toml beside this file
Flow     sources/world.py draws problems; the simulated teacher reads texts that it never issued and solves them
Limits   A text is read if it has the wording of some form, with any numbers, names and things; anything else is unknown.
Run      python -c "from skyloom.mathqa.world.grammar import read; print(read('If 3x + 4 = 19, what is the value of x?'))"
"""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skyloom.mathqa.world.expressions import Formula, Number, Numbers, Unsolvable, plain, show

SLOT: re.Pattern[str] = re.compile(r"\{(\w+)\}")
CAPITAL: tuple[str, ...] = ("name", "other", "town")
BLANKS: re.Pattern[str] = re.compile(r"\s+")
DRAWS: int = 1_000  # tries to meet a kind's conditions before the grammar is called wrong
SPELLED: Mapping[str, int] = {"one": 1, "two": 2, "three": 3}
CONSTANT: re.Pattern[str] = re.compile(rf"\d+|\b(?:{'|'.join(SPELLED)})\b", re.IGNORECASE)
LEAD: str = ", if in the end "
THEN: str = ", then "
UNKNOWN: int = -1  # in place of a number that the text does not give; no text states a negative one
MISSING: str = "some"
OPEN: str = rf"\d{{1,6}}|[A-Z] ?|{MISSING}"  # a blank keeps a letter apart from the symbol behind it: Y x
RATIO: re.Pattern[str] = re.compile(rf"\(\?P<(\w)>{re.escape(OPEN)}\)/\(\?P<(\w)>{re.escape(OPEN)}\)")


@dataclass(frozen=True)
class Form:
    """One wording: its template, the patterns that read it, and its slots."""

    template: str
    pattern: re.Pattern[str]
    open: re.Pattern[str]
    """The same, where a letter or `some` may stand for a number."""
    numbers: tuple[str, ...]
    words: tuple[str, ...]
    constants: Mapping[str, str]
    """Numbers that the wording itself states (`Two trains`), by their group in `open`."""
    ratios: tuple[tuple[str, str], ...]
    """Slots of which one letter may stand for both: `{a}/{b}`."""


class Range(NamedTuple):
    """A number drawn at random, both ends included."""

    name: str
    low: int
    high: int


class Step(NamedTuple):
    """One line of a solution: `name = formula`."""

    name: str
    formula: Formula


@dataclass(frozen=True)
class Kind:
    """One kind of problem, of further step or of setting; the level of the latter two is 0."""

    name: str
    level: int
    subject: str
    draw: tuple[Range, ...]
    show: tuple[Step, ...]
    steps: tuple[Step, ...]
    keep: tuple[Formula, ...]
    forms: tuple[Form, ...]
    words: Mapping[str, tuple[str, ...]]
    """What may stand in a wording's slots."""
    invalid: str = ""
    """Why a question of this kind is no problem; empty: it is one."""
    answers: tuple[Formula, ...] = ()
    """What may be answered to a question that is no problem; it has no steps."""


@dataclass(frozen=True)
class Posed:
    """A problem: its kind, the numbers and words that its text states, and the number of its wording."""

    kind: Kind
    form: int
    numbers: Mapping[str, int]
    words: Mapping[str, str]
    then: tuple["Posed", ...] = ()
    """Further steps, each done to the result of all before it."""
    setting: tuple["Posed", ...] = ()
    """Sentences before the problem that change nothing in it."""

    @property
    def content(self) -> str:
        """What makes it this problem whatever its wording: kinds and numbers."""
        own: str = self.kind.name + ":" + ",".join(f"{name}={self.numbers[name]}" for name in sorted(self.numbers))
        return ">".join((own, *(step.content for step in self.then)))

    @property
    def text(self) -> str:
        """The problem in words."""
        return self.worded("")

    def worded(self, unknown: str) -> str:
        """The problem in words, with `unknown` for every number that is not given."""
        own: str = self._sentence(unknown)
        if self.then:
            own = own[:-1] + LEAD + THEN.join(step._sentence(unknown) for step in self.then) + own[-1]
        return " ".join((*(each._sentence(unknown) for each in self.setting), own))

    def _sentence(self, unknown: str) -> str:
        said: dict[str, str] = {name: unknown if n == UNKNOWN else str(n) for name, n in self.numbers.items()}
        own: str = SLOT.sub(lambda slot: said.get(slot[1]) or self.words[slot[1]], self.kind.forms[self.form].template)
        return (
            own.replace(f"{unknown}/{unknown}", unknown) if unknown else own
        )  # one letter stands for a whole fraction


class Open(NamedTuple):
    """A problem of which a number is not given."""

    posed: Posed
    """UNKNOWN stands for the number."""
    letter: str
    """What stands for it in the text: a capital letter, or MISSING."""
    constant: int | None
    """Its value where it is one that the wording itself states: the two of `Two trains`."""


class Solution(NamedTuple):
    """Lines of working, and the value of the last one."""

    lines: tuple[str, ...]
    answer: Number

    @property
    def text(self) -> str:
        """The working, then a line `The answer is N`."""
        return "\n".join((*self.lines, f"The answer is {show(self.answer)}"))


class Grammar(NamedTuple):
    """Everything that grammar.toml, composition.toml and illposed.toml say."""

    kinds: Mapping[str, Kind]
    further: tuple[Kind, ...]
    settings: tuple[Kind, ...]
    specific: Mapping[str, str]
    """A more specific word for a general one."""
    illposed: tuple[Kind, ...]
    """Kinds of question that are no problems."""


class _Fit(NamedTuple):
    posed: Posed
    letters: frozenset[str]
    constants: frozenset[int]


def _form(template: str, words: Mapping[str, Sequence[str]]) -> Form:
    slots: list[str] = list(dict.fromkeys(SLOT.findall(template)))
    constants: dict[str, str] = {}

    def literal(part: str) -> str:
        pieces: list[str] = []
        place: int = 0
        for hit in CONSTANT.finditer(part):
            name: str = f"c{len(constants)}"
            constants[name] = hit[0]
            pieces += [re.escape(part[place : hit.start()]), f"(?P<{name}>{hit[0]}|[A-Z])"]
            place = hit.end()
        return "".join([*pieces, re.escape(part[place:])])

    closed: str = _pattern(template, words, re.escape, r"\d{1,6}")
    opened: str = RATIO.sub(r"(?:\g<0>|(?P<\1\2>[A-Z]))", _pattern(template, words, literal, OPEN))
    ratios: list[tuple[str, str]] = [(hit[1], hit[2]) for hit in re.finditer(r"\{(\w)\}/\{(\w)\}", template)]
    numbers: tuple[str, ...] = tuple(slot for slot in slots if slot not in words)
    spoken: tuple[str, ...] = tuple(slot for slot in slots if slot in words)
    return Form(template, re.compile(closed), re.compile(opened), numbers, spoken, constants, tuple(ratios))


def _pattern(template: str, words: Mapping[str, Sequence[str]], literal: Callable[[str], str], number: str) -> str:
    seen: set[str] = set()

    def group(slot: str) -> str:
        if slot in seen:
            return f"(?P={slot})"
        seen.add(slot)
        if slot not in words:
            return rf"(?P<{slot}>{number})"
        return rf"(?P<{slot}>[A-Z][a-z]+)" if slot in CAPITAL else rf"(?P<{slot}>[a-z]+)"

    return "".join(group(part) if i % 2 else literal(part) for i, part in enumerate(SLOT.split(template)))


def _steps(lines: Sequence[str]) -> tuple[Step, ...]:
    pairs: list[list[str]] = [line.split(" = ", 1) for line in lines]
    return tuple(Step(name, Formula(formula)) for name, formula in pairs)


def _kinds(entries: Iterable[Mapping[str, Any]], words: Mapping[str, tuple[str, ...]]) -> tuple[Kind, ...]:  # Any: TOML
    return tuple(
        Kind(
            name=entry["name"],
            level=entry.get("level", 0),
            subject=entry.get("subject", ""),
            draw=tuple(Range(name, *ends) for name, ends in entry.get("draw", {}).items()),
            show=tuple(Step(name, Formula(text)) for name, text in entry.get("show", {}).items()),
            steps=_steps(entry.get("steps", ())),
            keep=tuple(Formula(text) for text in entry.get("keep", ())),
            forms=tuple(_form(template, words) for template in entry["forms"]),
            words=words,
            invalid=entry.get("invalid", ""),
            answers=tuple(Formula(text) for text in entry.get("answers", ())),
        )
        for entry in entries
    )


@lru_cache(maxsize=1)
def grammar() -> Grammar:
    """The shipped grammar, read once."""
    base, more, none = (
        tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
        for name in ("grammar.toml", "composition.toml", "illposed.toml")
    )
    words, others = ({slot: tuple(values) for slot, values in data["words"].items()} for data in (base, more))
    return Grammar(
        kinds={kind.name: kind for kind in _kinds(base["kind"], words)},
        further=_kinds(more["further"], others),
        settings=_kinds(more["setting"], others),
        specific=more["specific"],
        illposed=_kinds(none["kind"], words),
    )


def _walk(
    posed: Posed, slip: Callable[[int, Number], Number] | None = None
) -> Iterator[tuple[Formula, Numbers, Number]]:
    """Formula, the numbers that it is filled with, and value of each line of working."""
    if posed.kind.invalid:
        raise Unsolvable(f"{posed.kind.name}: {posed.kind.invalid}")
    place: int = 0
    result: Number = 0
    for part in (posed, *posed.then):
        values: dict[str, Number] = {"r": result, **part.numbers} if part is not posed else dict(part.numbers)
        for name, formula in part.kind.steps:
            result = formula.value(values)
            result = result if slip is None else slip(place, result)
            yield formula, values, result
            values[name] = result
            place += 1
        if slip is None:
            _check(part.kind, values)


def solve(posed: Posed, slip: Callable[[int, Number], Number] | None = None) -> Solution:
    """The solution from the numbers that the text states; `slip(step, value)` may falsify a step's value.

    Raises:
        Unsolvable: the numbers break a condition of the kind, or a step has no exact value.
    """
    lines: list[str] = []
    value: Number = 0
    for formula, values, value in _walk(posed, slip):
        lines.append(f"{formula.filled(values)}={show(value)}")
    return Solution(tuple(lines), plain(value))


def answer(posed: Posed) -> Number:
    """The answer alone, sooner than `solve` gives it; raises Unsolvable as it does."""
    *_, value = (0, *(value for _, _, value in _walk(posed)))
    return plain(value)


def outcome(posed: Posed, unknown: int) -> Number:
    """The answer where this number is what is not given, sooner still: the conditions of the kind are not looked at."""
    result: Number = 0
    for part in (posed, *posed.then):
        values: dict[str, Number] = {"r": result}
        for name, number in part.numbers.items():
            values[name] = unknown if number == UNKNOWN else number
        for name, formula in part.kind.steps:
            result = values[name] = formula.evaluate(values)
    return plain(result)


def _check(kind: Kind, values: Numbers) -> None:
    for condition in kind.keep:
        if not condition.value(values):
            raise Unsolvable(f"{kind.name}: {condition.text} does not hold")


def draw(kind: Kind, rng: np.random.Generator, onto: Posed | None = None) -> Posed:
    """A random problem of this kind that can be solved, in a random wording; `onto`: this problem with a step of this kind more.

    Raises:
        Unsolvable: no draw of many meets the conditions.
    """
    form: int = int(rng.integers(len(kind.forms)))
    words: dict[str, str] = {slot: values[int(rng.integers(len(values)))] for slot, values in kind.words.items()}
    for _ in range(DRAWS):
        values: dict[str, Number] = {name: int(rng.integers(low, high + 1)) for name, low, high in kind.draw}
        for name, formula in kind.show:
            values[name] = formula.value(values)
        posed = Posed(kind, form, {name: int(values[name]) for name in kind.forms[form].numbers}, words)
        posed = posed if onto is None else replace(onto, then=(*onto.then, posed))
        try:
            if kind.invalid:
                _check(kind, posed.numbers)
            else:
                answer(posed)
        except Unsolvable:
            if not kind.draw:
                break  # there is nothing else to draw
            continue
        return posed
    raise Unsolvable(f"{kind.name}: no draw meets its conditions")


@lru_cache(maxsize=65_536)
def read(text: str) -> Posed | None:
    """The problem that this text poses, or None where no wording of one fits; blanks do not matter."""
    fit: _Fit | None = _read(text, grammar().kinds.values(), opened=False)
    return None if fit is None else fit.posed


@lru_cache(maxsize=65_536)
def read_open(text: str) -> Open | None:
    """The problem that this text poses with one number not given: the same letter, or `some`, stands for it wherever it does."""
    fit: _Fit | None = _read(text, grammar().kinds.values(), opened=True)
    if fit is None or len(fit.letters) != 1 or len(fit.constants) > 1:
        return None
    return Open(fit.posed, min(fit.letters), min(fit.constants, default=None))


@lru_cache(maxsize=65_536)
def read_illposed(text: str) -> Posed | None:
    """The question that this text asks and that is no problem, or None: with other numbers the same words may pose one."""
    fit: _Fit | None = _read(text, grammar().illposed, opened=False)
    if fit is None:
        return None
    try:
        _check(fit.posed.kind, fit.posed.numbers)
    except Unsolvable:
        return None
    return fit.posed


def _read(text: str, kinds: Iterable[Kind], *, opened: bool) -> _Fit | None:
    rules: Grammar = grammar()
    text = BLANKS.sub(" ", text).strip()
    setting: list[Posed] = []
    while (place := text.find(". ")) >= 0 and (
        told := _fit(rules.settings, text[: place + 1], opened=False)
    ) is not None:
        setting.append(told.posed)
        text = text[place + 2 :]
    own, lead, chain = text.partition(LEAD)
    fits: list[_Fit | None] = [_fit(kinds, own + text[-1:] if lead else own, opened=opened)]
    fits += [_fit(rules.further, step, opened=opened) for step in chain[:-1].split(THEN)] if lead else []
    found: list[_Fit] = [fit for fit in fits if fit is not None]
    if len(found) < len(fits):
        return None
    return _Fit(
        replace(found[0].posed, then=tuple(fit.posed for fit in found[1:]), setting=tuple(setting)),
        frozenset[str]().union(*(fit.letters for fit in found)),
        frozenset[int]().union(*(fit.constants for fit in found)),
    )


def _fit(kinds: Iterable[Kind], text: str, *, opened: bool) -> _Fit | None:
    for kind in kinds:
        for i, form in enumerate(kind.forms):
            hit: re.Match[str] | None = (form.open if opened else form.pattern).fullmatch(text)
            if hit is None:
                continue
            both: dict[str, str] = (
                {slot: hit["".join(pair)] or "" for pair in form.ratios for slot in pair} if opened else {}
            )
            said: dict[str, str] = {slot: (hit[slot] or both[slot]).strip() for slot in form.numbers}
            hidden: dict[str, str] = {
                name: literal for name, literal in form.constants.items() if opened and hit[name] != literal
            }
            posed = Posed(
                kind,
                i,
                {slot: int(number) if number.isdecimal() else UNKNOWN for slot, number in said.items()},
                {slot: hit[slot] for slot in form.words},
            )
            letters: set[str] = {number for number in said.values() if not number.isdecimal()}
            return _Fit(
                posed,
                frozenset(letters.union(hit[name] for name in hidden)),
                frozenset(SPELLED.get(literal.lower()) or int(literal) for literal in hidden.values()),
            )
    return None


def reword(posed: Posed, form: int, pick: int) -> Posed:
    """The same problem in another wording; words that the old one lacked are chosen by `pick`."""
    words: dict[str, str] = {slot: values[pick % len(values)] for slot, values in posed.kind.words.items()}
    return replace(posed, form=form, words={**words, **posed.words})


def part(content: str, parts: int) -> int:
    """Which of `parts` equal parts a problem's content falls into: the same on every machine."""
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "big") % parts
