"""The grammar of math problems: draw one, word it, read it back from its text alone, solve it.

Source   ours; the kinds, wordings and solutions stand in grammar.toml beside this file
Flow     sources/world.py draws problems; the simulated teacher reads texts that it never issued and solves them
Limits   A text is read if it has the wording of some form, with any numbers, names and things; anything else is unknown.
Run      python -c "from skyloom.mathqa.world.grammar import read; print(read('If 3x + 4 = 19, what is the value of x?'))"
"""

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skyloom.mathqa.world.expressions import Formula, Number, Numbers, Unsolvable, plain, show

SLOT: re.Pattern[str] = re.compile(r"\{(\w+)\}")
CAPITAL: tuple[str, ...] = ("name", "other")
BLANKS: re.Pattern[str] = re.compile(r"\s+")
DRAWS: int = 1_000  # tries to meet a kind's conditions before the grammar is called wrong


@dataclass(frozen=True)
class Form:
    """One wording: its template, the pattern that reads it, and its slots."""

    template: str
    pattern: re.Pattern[str]
    numbers: tuple[str, ...]
    words: tuple[str, ...]


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
    """One kind of problem."""

    name: str
    level: int
    subject: str
    draw: tuple[Range, ...]
    show: tuple[Step, ...]
    steps: tuple[Step, ...]
    keep: tuple[Formula, ...]
    forms: tuple[Form, ...]


@dataclass(frozen=True)
class Posed:
    """A problem: its kind, the numbers and words that its text states, and the number of its wording."""

    kind: Kind
    form: int
    numbers: Mapping[str, int]
    words: Mapping[str, str]

    @property
    def content(self) -> str:
        """What makes it this problem whatever its wording: kind and numbers."""
        return self.kind.name + ":" + ",".join(f"{name}={self.numbers[name]}" for name in sorted(self.numbers))

    @property
    def text(self) -> str:
        """The problem in words."""
        return SLOT.sub(
            lambda slot: str(self.numbers.get(slot[1], self.words.get(slot[1]))), self.kind.forms[self.form].template
        )


class Solution(NamedTuple):
    """Lines of working, and the value of the last one."""

    lines: tuple[str, ...]
    answer: Number

    @property
    def text(self) -> str:
        """The working, then a line `The answer is N`."""
        return "\n".join((*self.lines, f"The answer is {show(self.answer)}"))


class Grammar(NamedTuple):
    """Everything that grammar.toml says."""

    kinds: Mapping[str, Kind]
    words: Mapping[str, tuple[str, ...]]


def _form(template: str, words: Mapping[str, Sequence[str]]) -> Form:
    slots: list[str] = list(dict.fromkeys(SLOT.findall(template)))
    seen: set[str] = set()

    def group(slot: str) -> str:
        if slot in seen:
            return f"(?P={slot})"
        seen.add(slot)
        if slot not in words:
            return rf"(?P<{slot}>\d{{1,6}})"
        return rf"(?P<{slot}>[A-Z][a-z]+)" if slot in CAPITAL else rf"(?P<{slot}>[a-z]+)"

    parts: list[str] = SLOT.split(template)
    pattern: str = "".join(group(part) if i % 2 else re.escape(part) for i, part in enumerate(parts))
    numbers: tuple[str, ...] = tuple(slot for slot in slots if slot not in words)
    return Form(template, re.compile(pattern), numbers, tuple(slot for slot in slots if slot in words))


def _steps(lines: Sequence[str]) -> tuple[Step, ...]:
    pairs: list[list[str]] = [line.split(" = ", 1) for line in lines]
    return tuple(Step(name, Formula(formula)) for name, formula in pairs)


@lru_cache(maxsize=1)
def grammar() -> Grammar:
    """The shipped grammar, read once."""
    data = tomllib.loads((Path(__file__).parent / "grammar.toml").read_text(encoding="utf-8"))
    words: dict[str, tuple[str, ...]] = {slot: tuple(values) for slot, values in data["words"].items()}
    kinds: list[Kind] = [
        Kind(
            name=entry["name"],
            level=entry["level"],
            subject=entry["subject"],
            draw=tuple(Range(name, *ends) for name, ends in entry["draw"].items()),
            show=tuple(Step(name, Formula(text)) for name, text in entry.get("show", {}).items()),
            steps=_steps(entry["steps"]),
            keep=tuple(Formula(text) for text in entry.get("keep", ())),
            forms=tuple(_form(template, words) for template in entry["forms"]),
        )
        for entry in data["kind"]
    ]
    return Grammar({kind.name: kind for kind in kinds}, words)


def solve(posed: Posed, slip: Callable[[int, Number], Number] | None = None) -> Solution:
    """The solution from the numbers that the text states; `slip(step, value)` may falsify a step's value.

    Raises:
        Unsolvable: the numbers break a condition of the kind, or a step has no exact value.
    """
    values: dict[str, Number] = dict(posed.numbers)
    lines: list[str] = []
    for i, (name, formula) in enumerate(posed.kind.steps):
        value: Number = formula.value(values)
        value = value if slip is None else slip(i, value)
        lines.append(f"{formula.filled(values)}={show(value)}")
        values[name] = value
    if slip is None:
        _check(posed.kind, values)
    return Solution(tuple(lines), plain(values[posed.kind.steps[-1].name]))


def _check(kind: Kind, values: Numbers) -> None:
    for condition in kind.keep:
        if not condition.value(values):
            raise Unsolvable(f"{kind.name}: {condition.text} does not hold")


def draw(kind: Kind, rng: np.random.Generator) -> Posed:
    """A random problem of this kind that can be solved, in a random wording."""
    form: int = int(rng.integers(len(kind.forms)))
    words: dict[str, str] = {slot: values[int(rng.integers(len(values)))] for slot, values in grammar().words.items()}
    for _ in range(DRAWS):
        values: dict[str, Number] = {name: int(rng.integers(low, high + 1)) for name, low, high in kind.draw}
        for name, formula in kind.show:
            values[name] = formula.value(values)
        posed = Posed(kind, form, {name: int(values[name]) for name in kind.forms[form].numbers}, words)
        try:
            solve(posed)
        except Unsolvable:
            continue
        return posed
    raise Unsolvable(f"{kind.name}: no draw meets its conditions")


@lru_cache(maxsize=65_536)
def read(text: str) -> Posed | None:
    """The problem that this text poses, or None where no wording of the grammar fits; blanks do not matter."""
    text = BLANKS.sub(" ", text).strip()
    for kind in grammar().kinds.values():
        for i, form in enumerate(kind.forms):
            hit: re.Match[str] | None = form.pattern.fullmatch(text)
            if hit is not None:
                return Posed(
                    kind, i, {slot: int(hit[slot]) for slot in form.numbers}, {slot: hit[slot] for slot in form.words}
                )
    return None


def reword(posed: Posed, form: int, pick: int) -> Posed:
    """The same problem in another wording; words that the old one lacked are chosen by `pick`."""
    words: dict[str, str] = {slot: values[pick % len(values)] for slot, values in grammar().words.items()}
    return Posed(posed.kind, form, posed.numbers, {**words, **posed.words})


def part(content: str, parts: int) -> int:
    """Which of `parts` equal parts a problem's content falls into: the same on every machine."""
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "big") % parts
