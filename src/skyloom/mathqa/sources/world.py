"""World: problems of our own grammar, five levels, exact answers; some are planted copies of eval problems.

Source   ours; the grammar stands in mathqa/world/grammar.toml
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom run skywork_math --set collect.world.rows=2000
Limits   Train and eval contents are disjoint but for the planted copies, which `truth` marks as leaked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from skyloom.core.errors import BadInput
from skyloom.core.records import Raw, SourceConfig
from skyloom.core.rng import stream
from skyloom.core.store import number_field, text_field
from skyloom.mathqa.evals import world
from skyloom.mathqa.records import Problem
from skyloom.mathqa.world.expressions import show
from skyloom.mathqa.world.grammar import Posed, solve
from skyloom.mathqa.world.problems import SHARES, judge, problems

LICENCE: str = "Apache-2.0"
VERSION: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    """How many problems, how hard, and how many copies of eval problems are planted."""

    rows: int = 2_000
    """Problems to draw."""
    seed: int = 0
    """Seed of the draw."""
    shares: tuple[float, ...] = SHARES
    """Relative share of levels 1 to 5."""
    leak: float = 0.0
    """Share of rows that are eval problems word for word, 0 to 1: what a contamination filter has to find."""
    benchmark: world.Config = field(default_factory=world.Config)
    """The eval set that is leaked from: give it the config of the benchmark that the run reports."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for numbers that make no world."""
        if self.rows < 1 or not 0 <= self.leak <= 1:
            raise ValueError(f"rows={self.rows} must be at least 1, leak={self.leak} within 0 and 1")


def rows(config: Config, shard: int) -> Iterator[Raw]:
    """The problems, leaked copies among them, as plain objects."""
    if shard != 0:
        raise BadInput(f"world: shard {shard}: it has one")
    rng = stream(config.seed, "mathqa.world", "leaks")
    source = config.benchmark
    eval_set: list[Posed] = list(problems("eval", source.seed, source.rows, source.shares)) if config.leak else []
    for number, posed in enumerate(problems("train", config.seed, config.rows, config.shares), 1):
        leaked: bool = float(rng.random()) < config.leak
        chosen: Posed = eval_set[int(rng.integers(len(eval_set)))] if leaked else posed
        yield Raw("world", number, _raw(chosen, leaked=leaked))


def _raw(posed: Posed, *, leaked: bool) -> Mapping[str, Any]:  # Any: a raw row, as every source gives it
    solution = solve(posed)
    return {
        "problem": posed.text,
        "solution": solution.text,
        "answer": show(solution.answer),
        "level": posed.kind.level,
        "subject": posed.kind.subject,
        "kind": posed.kind.name,
        "leaked": leaked,
    }


def to_record(raw: Mapping[str, Any]) -> Problem:
    """The problem; whether it is a planted copy does not get into the record."""
    return Problem(
        question=text_field(raw, "problem"),
        answer=text_field(raw, "answer"),
        solution=text_field(raw, "solution"),
        level=int(number_field(raw, "level")),
        subject=text_field(raw, "subject"),
    )


def truth(raw: Mapping[str, Any]) -> Mapping[str, bool | int | float | str]:
    """What was planted."""
    return {"leaked": bool(raw["leaked"]), "kind": str(raw["kind"])}


def judge_instance(question: str, answer: str, gold: str | None) -> Mapping[str, bool | int | float | str]:
    """What is true of a teacher's row: the question's right answer (empty: it has none), whether the row's answer is wrong, whether the
    question's meaning drifted from what `gold` answers, unsound (either of the two), lines of working, whether it can be read, whether it
    is no problem, and why (empty: it is one, or cannot be read)."""
    told = judge(question, answer)
    drifted: bool = gold is not None and told.answer != gold
    return {
        "answer": told.answer,
        "wrong": not told.right,
        "drifted": drifted,
        "unsound": drifted or not told.right,
        "steps": told.steps,
        "readable": told.readable,
        "ill_posed": bool(told.invalid),
        "invalid": told.invalid,
    }


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {
        "problem": "Solve x + 3 = 7 for x.",
        "solution": "7-3=4\nThe answer is 4",
        "answer": "4",
        "level": 1,
        "subject": "Algebra",
        "kind": "plus_equation",
        "leaked": False,
    },
    Problem(
        question="Solve x + 3 = 7 for x.", answer="4", solution="7-3=4\nThe answer is 4", level=1, subject="Algebra"
    ),
)
