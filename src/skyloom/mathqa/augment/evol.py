"""Evol: in several rounds the teacher makes a problem harder, or another one like it, and solves each that stands.

Formula  each round draws a strategy by weight, among those least tried on the question at hand, and asks for a new question; one that
         the eliminator or the answer fails leaves its parent in place, and the next round tries another strategy on it
Source   Evol-Instruct (Xu et al. 2023, arXiv 2304.12244): rounds, strategies, a pool that keeps what failed; the five strategies are
         those of Skywork-Math (arXiv 2407.08348, section 3.1). Texts, maths rules and weights are ours
Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report; 1 + answers calls a round
Run      skyloom mathqa synthesize --seeds FILE --source gsm8k --operator evol ...
Limits   A new question has no known answer: with `answers` above 1 its rows vote. A question is compared with its parent alone, so two
         rounds may come back to the seed; curation drops the repeat.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from skyloom.core.config import Config as PlainConfig
from skyloom.mathqa.elimination import DEFAULT, Limits, kept, marked, whole
from skyloom.mathqa.operators import (
    ANSWER,
    AugmentConfig,
    Call,
    Draft,
    Example,
    Job,
    Program,
    Recorded,
    Refused,
    Slots,
    messages,
)
from skyloom.mathqa.records import Problem

VERSION: int = 1
OPENING: str = "New problem:"
TEMPLATE: Path = Path(__file__).with_suffix(".toml")
Strategy = Literal["breadth", "constrain", "deepen", "concretise", "reasoning"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights(PlainConfig):
    """How often each strategy is drawn, relative to the others; 0: never."""

    breadth: float = 1.0
    """A different problem, of similar length and difficulty."""
    constrain: float = 1.0
    """One more condition or requirement."""
    deepen: float = 1.0
    """More depth and breadth."""
    concretise: float = 1.0
    """Specific concepts in the place of general ones."""
    reasoning: float = 1.0
    """Explicitly more steps of reasoning."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for weights from which nothing can be drawn."""
        for name, weight in self.by_name().items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"{name}={weight} must be 0 or more")
        if not any(self.by_name().values()):
            raise ValueError("at least one weight must be above 0")

    def by_name(self) -> Mapping[Strategy, float]:
        """Weight of each strategy, in the order of the table."""
        return {name: float(getattr(self, name)) for name in STRATEGIES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AugmentConfig):
    """Rounds, strategies, answers and what counts as a failure."""

    rounds: int = 3
    """Rounds of a job, 1 to 5 (Skywork-Math: at most 5)."""
    answers: int = 1
    """Solutions asked for each new question; each that can be read is a row of its own, and they vote."""
    weights: Weights = field(default_factory=Weights)
    """How often each strategy is drawn (equal weights as in the code of Evol-Instruct)."""
    limits: Limits = field(default_factory=Limits)
    """Thresholds of the eliminator."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        AugmentConfig.__post_init__(self)
        if not 1 <= self.rounds <= 5:
            raise ValueError(f"rounds={self.rounds} must lie within 1 and 5")
        if self.answers < 1:
            raise ValueError(f"answers={self.answers} must be at least 1")


def evolved(reply: str, slots: Slots, *, strategy: Strategy, limits: Limits) -> Slots:
    """`new`; refuses sorry, unclosed, empty, no_mark and every fault that the eliminator finds."""
    question: str = marked(whole(reply, limits), OPENING)
    return {"new": kept(question, slots["question"], _instructions(strategy), limits)}


@lru_cache(maxsize=8)
def _instructions(strategy: Strategy) -> str:
    return "\n".join(each.content for each in messages(TEMPLATE, strategy, {}))


@lru_cache(maxsize=256)
def evolve(strategy: Strategy, limits: Limits = DEFAULT) -> Call:
    """The call of one strategy: the same object for the same limits."""
    return Call(strategy, TEMPLATE, ("new",), partial(evolved, strategy=strategy, limits=limits))


CALLS: tuple[Call, ...] = (*(evolve(strategy, DEFAULT) for strategy in STRATEGIES), ANSWER)


def calls(config: Config) -> int:
    """Most calls of a job."""
    return config.rounds * (1 + config.answers)


def drafts(config: Config) -> int:
    """Most rows of a job."""
    return config.rounds * config.answers


def drawn(weights: Weights, tried: Mapping[Strategy, int], draws: np.random.Generator) -> Strategy:
    """A strategy by weight, among those tried least on this question; takes one number from `draws`."""
    open_to: dict[Strategy, float] = {name: weight for name, weight in weights.by_name().items() if weight}
    least: int = min(tried.get(name, 0) for name in open_to)
    left: dict[Strategy, float] = {name: weight for name, weight in open_to.items() if tried.get(name, 0) == least}
    at: float = draws.random() * sum(left.values())
    for name, weight in left.items():
        at -= weight
        if at < 0:
            return name
    return next(reversed(left))  # rounding: the draw fell on the very end


def make(job: Job, config: Config) -> Program:
    """Round by round; a row's parent is the first row of the question that it was made from."""
    question: str = job.problem.question
    parent: int | None = None
    made: int = 0
    tried: Counter[Strategy] = Counter()
    for number in range(1, config.rounds + 1):
        strategy: Strategy = drawn(config.weights, tried, job.draws)
        tried[strategy] += 1
        try:
            found = yield evolve(strategy, config.limits)(tried[strategy] - 1, question=question)
        except Refused:
            continue
        first: int = made
        for draw in range(config.answers):
            try:
                solved = yield ANSWER(draw, question=found["new"])
            except Refused:
                continue
            yield Draft(
                found["new"],
                solved["response"],
                solved["answer"],
                gold=None,
                round=number,
                strategy=strategy,
                parent=parent,
            )
            made += 1
        if made > first:
            question, parent, tried = found["new"], first, Counter()


_SEED: Slots = {"question": "Tom has 3 apples and buys 4 more. How many apples does Tom have?"}
_FIRST: str = (
    "Tom has 3 apples and buys 4 more. Then he gives half of the larger lot to Ida. How many apples does Tom have?"
)
_SECOND: str = (
    "Tom has 3 apples and buys 4 more. Then he gives half of the larger lot to Ida, who already has 6 apples "
    "and eats one. How many apples does Ida have?"
)
_ONLY: Weights = Weights(breadth=0, deepen=0, concretise=0, reasoning=0)


def _says(question: str) -> str:
    return f"{OPENING} {question}\n[end]"


def _reads(strategy: Strategy, question: str) -> Recorded:
    return Recorded(evolve(strategy), _says(question), {"new": question}, _SEED)


def _refuses(strategy: Strategy, reason: str, reply: str) -> Recorded:
    return Recorded(evolve(strategy), reply, reason, _SEED)


EXAMPLE: Example = Example(
    problem=Problem(
        question=_SEED["question"], answer="7", solution="3+4=7\nThe answer is 7", level=1, subject="Arithmetic"
    ),
    config=Config(weights=_ONLY),
    replies=(
        _says(_FIRST),
        "4/2=2\n3+4-2=5\nThe answer is 5\n[end]",
        _says(_FIRST.upper()),
        _says(_SECOND),
        "4/2=2\n6+2-1=7\nThe answer is 7\n[end]",
    ),
    drafts=(
        Draft(_FIRST, "4/2=2\n3+4-2=5\nThe answer is 5", "5", gold=None, round=1, strategy="constrain"),
        Draft(_SECOND, "4/2=2\n6+2-1=7\nThe answer is 7", "7", gold=None, round=3, strategy="constrain", parent=0),
    ),
    recorded=(
        _reads("breadth", "A tank loses 5 litres in each of 6 hours. How many litres does it lose in all?"),
        _reads("constrain", _FIRST),
        _reads("deepen", "Tom has 3 apples and buys 4 more each day. After how many days does he own 31 apples?"),
        _reads(
            "concretise", "Tom has 3 Gala apples and buys 4 Fuji apples at a farm stall. How many apples does Tom have?"
        ),
        _reads("reasoning", _SECOND),
        Recorded(evolve("reasoning"), f"**{OPENING}** {_FIRST}\n[end]", {"new": _FIRST}, _SEED),
        _refuses("breadth", "no_gain", _says("Tom has 5 apples and buys 2 more. How many apples does Tom have?")),
        _refuses(
            "breadth",
            "too_long",
            _says("On each of 9 days a clerk counts all the crates in a hall. " * 12 + "How many?"),
        ),
        _refuses("constrain", "unclosed", f"{OPENING} {_FIRST}"),
        _refuses("constrain", "empty", " "),
        _refuses("constrain", "no_mark", f"{_FIRST}\n[end]"),
        _refuses("constrain", "sorry", "I'm sorry, but I cannot make this problem harder."),
        _refuses("constrain", "only_stop_words", _says("Is it the?")),
        _refuses(
            "constrain", "same_as_parent", _says("tom has 3 apples, and buys 4 more; how many apples does Tom have")
        ),
        _refuses("constrain", "near_parent", _says("Tom has 3 pears and buys 4 more. How many pears does Tom have?")),
        _refuses("deepen", "copies_prompt", _says(f"Here is the new problem. {_FIRST}")),
        _refuses(
            "deepen",
            "copies_prompt",
            _says("Increase the depth and breadth of what is asked. How many apples are 3 and 4 apples and 9 pears?"),
        ),
        _refuses("concretise", "no_question", _says("Tom has 3 Gala apples and buys 4 Fuji apples at a farm stall.")),
        _refuses(
            "concretise",
            "broken_latex",
            _says(r"Tom has $\frac{3}{1$ apples at home and buys $4$ more. How many is that?"),
        ),
        _refuses("reasoning", "several_questions", _says(f"{_FIRST} How many does Ida have?")),
        _refuses("reasoning", "solved", _says(f"{_FIRST} The answer is 5.")),
    ),
)
