"""Backward questions: a problem whose answer is told and of which one number is unknown; read, solve and word them.

Two shapes are read. A clause behind the whole problem: `Tom has X apples and gets 5 more. How many apples does Tom have now? Suppose
the answer is 8. What is X?` And a statement in place of the question, as `state` words it: `Tom has X apples and gets 5 more. The
answer to "How many apples does Tom have now" is 8. What is X?` Any words will do around the one number of the clause.

Formula  the unknown is every value among the tried ones for which the problem holds and has the told answer; one fits, or it is admitted
Source   FOBAR (Jiang et al. 2023, arXiv 2308.07758), self-verification (Weng et al. 2022, arXiv 2212.09561)
Flow     world/responder.py answers them, world/problems.py judges the rows
Limits   Tried are the integers below SEARCH, and fractions with denominators up to DENOMINATORS where a fraction is unknown.
Run      read_backward("Solve x + Y = 7 for x. The answer is 4. What is Y?").fits == (3,)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple

from skyloom.mathqa.world.expressions import Number, Unsolvable, plain, show
from skyloom.mathqa.world.grammar import (
    BLANKS,
    MISSING,
    UNKNOWN,
    Open,
    Posed,
    Solution,
    answer,
    outcome,
    read_open,
    solve,
)

SEARCH: int = 2_000
DENOMINATORS: int = 40
STOP: re.Pattern[str] = re.compile(r"[.?](?=\s)")
NUMBER: re.Pattern[str] = re.compile(r"(?<![\w.])-?\d+(?:/\d+)?(?![\w/]|\.\d)")
STATED: re.Pattern[str] = re.compile(rf'[Tt]he answer to "(?P<clause>[^"]+)" is (?P<answer>{NUMBER.pattern})\.')
LETTER: re.Pattern[str] = re.compile(r"\b[B-HJ-Z]\b")  # A and I are words
CLAUSE: re.Pattern[str] = re.compile(r", (?=(?:what|which|how|(?:in|by) how)\b)")


class Parted(NamedTuple):
    """A problem in two."""

    facts: str
    """Sentences before the question, empty or closed by a full stop."""
    question: str
    """The last clause, with its mark."""


@dataclass(frozen=True)
class Backward:
    """A backward question."""

    open: Open
    """The problem without its number."""
    told: Number
    """Its answer."""
    stated: bool
    """Is the answer told by a statement in place of the question?"""
    before: str
    """Words of the clause before the told answer; empty for a statement."""
    after: str
    """All words behind it."""

    @property
    def text(self) -> str:
        """The question in words."""
        letter: str = self.open.letter
        own: str = self.open.posed.worded(letter)
        own = re.sub(rf"(?<![A-Za-z]){letter}(?=[a-z](?![a-z]))", f"{letter} ", own)
        if self.stated:
            parted: Parted = part(own)
            own = f"{parted.facts} {state(parted.question, show(self.told))}".strip()
            return f"{own}{self.after}"
        return f"{own} {self.before}{show(self.told)}{self.after}"

    @cached_property
    def fits(self) -> tuple[Number, ...]:
        """The values of the unknown for which all holds: at most two, because one more than one is too many."""
        found: list[Number] = []
        for value, posed in self._tried():
            try:
                if value not in found and answer(posed) == self.told:
                    found.append(value)
            except Unsolvable:
                continue
            if len(found) > 1:
                break
        return tuple(found)

    def _tried(self) -> Iterator[tuple[Number, Posed]]:
        """Values and the problem with them: all that may fit."""
        posed, _, constant = self.open
        if constant is not None:
            yield constant, fill(posed, constant)
        elif _ratio(posed) is None:
            yield from ((value, fill(posed, value)) for value in range(SEARCH) if self._leads(value))
        else:
            for below in range(2, DENOMINATORS + 1):
                yield from (
                    (plain(Fraction(above, below)), _ratio_filled(posed, above, below)) for above in range(1, below)
                )

    def _leads(self, value: int) -> bool:
        """Does this value lead to the told answer, whatever else speaks against it?"""
        try:
            return outcome(self.open.posed, value) == self.told
        except Unsolvable:
            return False

    @property
    def value(self) -> Number:
        """The value of the unknown.

        Raises:
            Unsolvable: no value fits, or several do.
        """
        if len(self.fits) != 1:
            raise Unsolvable(f"{'several values fit' if self.fits else 'no value fits'} {self.open.letter}")
        return self.fits[0]

    def filled(self, value: Number) -> Posed:
        """The problem with this value in place of the unknown."""
        posed: Posed = self.open.posed
        if _ratio(posed) is None:
            return fill(posed, int(value))
        return _ratio_filled(posed, Fraction(value).numerator, Fraction(value).denominator)

    @property
    def fitting(self) -> Posed:
        """The problem with the value that fits in place of the unknown; raises Unsolvable as `value` does."""
        value: Number = self.value
        for tried, posed in self._tried():
            if tried != value:
                continue
            try:
                answer(posed)
            except Unsolvable:  # 1/2 where 2/4 is meant
                continue
            return posed
        raise Unsolvable(f"{show(value)} does not fit")

    @property
    def solution(self) -> Solution:
        """The value, the working that shows that it fits, and the value again as the answer; raises Unsolvable as `value` does."""
        value: Number = self.value
        return Solution((f"{self.open.letter}={show(value)}", *solve(self.fitting).lines), value)


def fill(posed: Posed, value: int) -> Posed:
    """The problem with this number wherever one is not given."""
    numbers: dict[str, int] = {name: value if number == UNKNOWN else number for name, number in posed.numbers.items()}
    return replace(posed, numbers=numbers, then=tuple(fill(step, value) for step in posed.then))


def _ratio(posed: Posed) -> tuple[str, str] | None:
    """The slots of an unknown fraction."""
    return next(
        (
            pair
            for pair in posed.kind.forms[posed.form].ratios
            if posed.numbers[pair[0]] == posed.numbers[pair[1]] == UNKNOWN
        ),
        None,
    )


def _ratio_filled(posed: Posed, above: int, below: int) -> Posed:
    numbers: dict[str, int] = dict(posed.numbers)
    times: int = 1
    for top, bottom in posed.kind.forms[posed.form].ratios:
        if numbers[top] == numbers[bottom] == UNKNOWN:
            numbers |= {top: times * above, bottom: times * below}
            times += 1  # a fraction that stands twice was not written in the same way twice
    return replace(posed, numbers=numbers)


def part(question: str) -> Parted:
    """A problem's facts and its last clause."""
    place: int = max((hit.end() for hit in STOP.finditer(question)), default=0)
    facts, last = question[:place].strip(), question[place:].strip()
    clause: list[str] = CLAUSE.split(last, maxsplit=1)
    return Parted(f"{facts} {clause[0]}.".strip(), clause[1]) if len(clause) > 1 else Parted(facts, last)


def state(question: str, answer: str) -> str:
    """A question and its answer as one statement."""
    return f'The answer to "{question.rstrip("?. ")}" is {answer}.'


@lru_cache(maxsize=65_536)
def read_backward(text: str) -> Backward | None:
    """The backward question that this text poses, or None; blanks do not matter."""
    text = BLANKS.sub(" ", text).strip()
    hit: re.Match[str] | None = STATED.search(text)
    if hit is not None:
        rest: str = text[hit.end() :]
        found: Open | None = _restored(text[: hit.start()].strip(), hit["clause"])
        if found is None or not _asks(rest, found.letter):
            return None
        return Backward(found, plain(Fraction(hit["answer"])), stated=True, before="", after=rest)
    for stop in reversed([*STOP.finditer(text)]):
        rest = text[stop.end() :].strip()
        numbers: list[re.Match[str]] = [*NUMBER.finditer(rest)]
        found = read_open(text[: stop.end()])
        if found is None or found.letter == MISSING or len(numbers) != 1 or not _asks(rest, found.letter):
            continue
        start, end = numbers[0].span()
        return Backward(found, plain(Fraction(numbers[0][0])), stated=False, before=rest[:start], after=rest[end:])
    return None


def _restored(facts: str, clause: str) -> Open | None:
    """The whole problem from its facts and its last clause."""
    wholes: list[str] = [f"{facts} {clause}", f"{facts.rstrip('.,')}, {clause}"] if facts else [clause]
    found = (read_open(whole + mark) for whole in wholes for mark in "?.")
    return next((each for each in found if each is not None and each.letter != MISSING), None)


def _asks(text: str, letter: str) -> bool:
    """Does the text speak of this unknown, and of no other?"""
    return set(LETTER.findall(text)) == {letter}
