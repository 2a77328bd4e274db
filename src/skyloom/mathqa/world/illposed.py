"""Questions that are no problems: why, how one is planted, and what a teacher says to it who answers all the same.

Formula  missing_condition  a number or a relation is kept back         several_answers  more than one value fits
         contradiction      two conditions cannot both hold             unsolvable       nothing fits: no whole number, less than none
Source   ours; kinds, wordings and sayings stand in illposed.toml beside this file
Flow     world/responder.py plants them among new problems and answers them; understanding.invalid names the reason
Limits   A fault is planted in the kind of the problem, never in its further steps. A relation too few reads as missing_condition although
         several answers fit it; the two differ in how many do
Run      pretended(read_illposed("Solve x^2 = 49 for x."), 1) has the answer -7
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skyloom.mathqa.world.evolving import hollow
from skyloom.mathqa.world.grammar import Kind, Posed, Step, draw, grammar

RATES: Mapping[str, str] = {
    "missing": "missing_condition",
    "several": "several_answers",
    "contradictory": "contradiction",
    "impossible": "unsolvable",
}
"""Field of world/responder.py that holds the share of each reason."""


class Sayings(NamedTuple):
    """What is said by who notices one reason."""

    lines: tuple[str, ...]
    answers: tuple[str, ...]


@lru_cache(maxsize=1)
def sayings() -> Mapping[str, Sayings]:
    """Sayings by reason, read once."""
    data = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {each["invalid"]: Sayings(tuple(each["lines"]), tuple(each["answers"])) for each in data["says"]}


def planted(posed: Posed, reason: str, rng: np.random.Generator) -> str:
    """A question that is none for this reason, with the further steps and settings of a problem; half of those that lack a condition
    are the problem itself with a number kept back."""
    if reason == "missing_condition" and rng.random() < 0.5 and (text := hollow(posed, rng)) is not None:
        return text
    kinds: list[Kind] = [kind for kind in grammar().illposed if kind.invalid == reason]
    base: Posed = draw(kinds[int(rng.integers(len(kinds)))], rng)
    return replace(base, then=posed.then, setting=posed.setting).text


def pretended(posed: Posed, pick: int) -> Posed:
    """The question as if one of its answers followed from it; itself where it is a problem."""
    kind: Kind = posed.kind
    if not kind.invalid:
        return posed
    steps: tuple[Step, ...] = (Step("v", kind.answers[pick % len(kind.answers)]),)
    return replace(posed, kind=replace(kind, invalid="", keep=(), steps=steps))
