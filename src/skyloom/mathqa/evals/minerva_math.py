"""Minerva MATH: undergraduate problems from open courses in the sciences, with a boxed answer in the solution.

Source   Lewkowycz et al. 2022 (arXiv 2206.14858, "OCWCourses"); 272 problems
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data PATH/minerva_math/test.jsonl --model MODEL --out DIR
Limits   Many answers are rounded measurements, which THE grader compares as they are written: scores are not those of lenient graders.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadRow
from skyloom.core.store import find_files
from skyloom.mathqa import benchmark
from skyloom.mathqa.benchmark import EvalConfig, Item
from skyloom.mathqa.reading import items_from
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources._files import plain, question_field, read_files, worked
from skyloom.mathqa.verify.extraction import last_boxed

NAME: str = "minerva_math"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Where the file is."""

    path: Path = field(default=Path("minerva_math/test.jsonl"), metadata=NOT_KEYED)
    """A .jsonl, .json or .parquet file."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the items depend on."""
    return find_files(config.path)


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """Whether a file with this first row is the benchmark."""
    del file
    return {"problem", "solution", "type"} <= set(row) and "level" not in row and "answer" not in row


def items(config: Config) -> tuple[Item, ...]:
    """The problems in file order; raises BadInput where a row cannot be used: a benchmark is not read in part."""
    files = inputs(config)
    return benchmark.limited(items_from(NAME, read_files(files), to_record, files), config.limit)


def to_record(raw: Mapping[str, Any]) -> Problem:  # Any: as above
    """Problem, solution, its last boxed answer, and the course. Raises BadRow for a missing field or a solution without a box."""
    solution = plain(raw, "solution")
    answer = last_boxed(solution)
    if answer is None:
        raise BadRow("solution", "no balanced \\boxed answer")
    return Problem(
        question=question_field(raw, "problem"),
        answer=answer,
        solution=worked(solution, answer),
        level=None,
        subject=plain(raw, "type"),
    )


EXAMPLE: tuple[Item, str] = (
    Item(
        id="minerva_math/0",
        question="A rod of $2$ m is cut in four. How long is a piece, in m?",
        answer="0.5",
        level=None,
        subject="Dynamics",
        solution="$2/4=\\boxed{0.5}$\nThe answer is 0.5",
    ),
    "$2/4=0.5$.\nThe answer is 0.5",
)
