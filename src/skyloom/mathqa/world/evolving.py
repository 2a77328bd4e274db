"""New problems from a problem: another of its level, a like one, a deeper one, a more specific one, one that cannot be solved.

Formula  `deeper` adds steps whose lines of working are given, so that it is known how much harder a problem became
Source   ours; what the strategies ask for: Evol-Instruct (Xu et al. 2023, arXiv 2304.12244), Xwin-Math (Li et al. 2024, 2403.04706)
Flow     world/responder.py, when the teacher is asked for a new problem
Limits   This teacher knows which problems are held back for the eval part and makes none of them; a real one does not
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from skyloom.mathqa.world.backward import Backward
from skyloom.mathqa.world.expressions import Number, Unsolvable
from skyloom.mathqa.world.grammar import (
    MISSING,
    UNKNOWN,
    Grammar,
    Kind,
    Posed,
    answer,
    draw,
    grammar,
    reword,
)
from skyloom.mathqa.world.problems import part_of

EXTRA: dict[str, tuple[int, ...]] = {"constrain": (1,), "deepen": (2,), "reasoning": (1, 2)}
"""Strategy -> lines of working of each step that it adds."""
TRIES: int = 20
DIGITS: re.Pattern[str] = re.compile(r"\d+")
READABLE: re.Pattern[str] = re.compile(rf"(?<![\w/^]){MISSING}(?![\w/^%])")


def another(posed: Posed, rng: np.random.Generator) -> Posed:
    """A problem of another kind of the same level (of any for one that has none), with as many further steps of the same lengths."""
    others: list[Kind] = [kind for kind in grammar().kinds.values() if kind.name != posed.kind.name]
    kinds: list[Kind] = [kind for kind in others if kind.level == posed.kind.level] or others
    return _fresh(posed, lambda: draw(kinds[int(rng.integers(len(kinds)))], rng), rng)


def similar(posed: Posed, rng: np.random.Generator) -> Posed:
    """A problem of the same kind in another wording, with as many further steps of the same lengths."""
    form: int = other_form(posed, int(rng.integers(1_000)))
    return _fresh(posed, lambda: reword(draw(posed.kind, rng), form, int(rng.integers(1_000))), rng)


def _fresh(posed: Posed, make: Callable[[], Posed], rng: np.random.Generator) -> Posed:
    """A new problem with other numbers, none of the eval part, and with further steps of the same lengths."""
    for _ in range(TRIES):
        base: Posed = make()
        if part_of(base) != "train":
            continue
        new: Posed = deeper(base, [len(step.kind.steps) for step in posed.then], rng)
        if sorted(DIGITS.findall(new.text)) != sorted(DIGITS.findall(posed.text)):
            return new
    raise Unsolvable(f"{posed.kind.name}: no other numbers found")


def deeper(posed: Posed, lines: Sequence[int], rng: np.random.Generator) -> Posed:
    """The problem with a further step of each of these numbers of lines."""
    for count in lines:
        kinds: list[Kind] = [kind for kind in grammar().further if len(kind.steps) == count]
        posed = next(_further(posed, [kinds[i] for i in rng.permutation(len(kinds))], rng))
    return posed


def deeper_backward(found: Backward, lines: Sequence[int], rng: np.random.Generator) -> Backward:
    """The backward question with further steps in its problem, and the answer that is then told; its unknown stays determined."""
    told, hidden = found.fitting, found.open.posed
    for _ in range(TRIES):
        new: Posed = deeper(told, lines, rng)
        then: tuple[Posed, ...] = (*hidden.then, *new.then[len(told.then) :])
        longer: Backward = replace(found, open=found.open._replace(posed=replace(hidden, then=then)), told=answer(new))
        if len(longer.fits) == 1:
            return longer
    raise Unsolvable("no further step leaves the unknown determined")


def _further(posed: Posed, kinds: Sequence[Kind], rng: np.random.Generator) -> Iterator[Posed]:
    before: Number = answer(posed)
    for kind in kinds:
        try:
            longer: Posed = draw(kind, rng, onto=posed)
        except Unsolvable:
            continue
        if answer(longer) != before:
            yield longer
    raise Unsolvable(f"{posed.kind.name}: no further step fits")


def specific(posed: Posed, rng: np.random.Generator) -> Posed:
    """The same problem in another wording, with more specific words and a place where it comes up."""
    rules: Grammar = grammar()
    told: Posed = reword(posed, other_form(posed, int(rng.integers(1_000))), int(rng.integers(1_000)))
    kind: Kind = rules.settings[int(rng.integers(len(rules.settings)))]
    words: dict[str, str] = {slot: rules.specific.get(word, word) for slot, word in told.words.items()}
    return replace(told, words=words, setting=(draw(kind, rng), *told.setting))


def other_form(posed: Posed, pick: int) -> int:
    """Another wording than the problem's own."""
    forms: int = len(posed.kind.forms)
    return (posed.form + 1 + pick % (forms - 1)) % forms


def hollow(posed: Posed, rng: np.random.Generator) -> str | None:
    """The problem in words with one of its numbers left out, so that nobody can solve it; None where no wording bears that."""
    parts: tuple[Posed, ...] = (posed, *posed.then)
    places: list[tuple[int, str]] = [(i, name) for i, each in enumerate(parts) for name in each.numbers]
    for at in rng.permutation(len(places)):
        place, name = places[int(at)]
        changed: list[Posed] = [
            replace(each, numbers={**each.numbers, name: UNKNOWN}) if i == place else each
            for i, each in enumerate(parts)
        ]
        text: str = replace(changed[0], then=tuple(changed[1:])).worded(MISSING)
        if READABLE.search(text):
            return text
    return None
