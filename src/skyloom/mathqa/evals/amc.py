"""AMC: problems of the American Mathematics Competitions without their options (40 of 2023 go round as `amc23`).

Source   Mathematical Association of America; the file of 2023 stands in github.com/QwenLM/Qwen2.5-Math
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data PATH/amc23/test.jsonl --model MODEL --out DIR
Limits   Few items: one is 2.5 points. The answers are whole numbers; solutions are not in the file.
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

NAME: str = "amc"
SUBJECT: str = "AMC"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Where the file is."""

    path: Path = field(default=Path("amc23/test.jsonl"), metadata=NOT_KEYED)
    """A .jsonl, .json or .parquet file."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the items depend on."""
    return find_files(config.path)


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """Whether a file with this first row is the benchmark."""
    return {"problem", "answer"} <= set(row) and "AMC" in f"{row.get('url', '')} {file.parent.name} {file.name}".upper()


def items(config: Config) -> tuple[Item, ...]:
    """The problems in file order; raises BadInput where a row cannot be used: a benchmark is not read in part."""
    files = inputs(config)
    return benchmark.limited(items_from(NAME, read_files(files), to_record, files), config.limit)


def to_record(raw: Mapping[str, Any]) -> Problem:  # Any: as above
    """Problem and answer; the solution where there is one. Raises BadRow for a missing field."""
    answer = plain(raw, "answer")
    if not answer:
        raise BadRow("answer", "missing or empty")
    solution = plain(raw, "solution")
    return Problem(
        question=question_field(raw, "problem" if "problem" in raw else "question"),
        answer=answer,
        solution=worked(solution, answer) if solution else "",
        level=None,
        subject=SUBJECT,
    )


EXAMPLE: tuple[Item, str] = (
    Item(
        id="amc/0",
        question="What is $3\\cdot 9$?",
        answer="27",
        level=None,
        subject="AMC",
        solution="",
    ),
    "$3\\cdot 9=27$.\nThe answer is \\boxed{27}",
)
