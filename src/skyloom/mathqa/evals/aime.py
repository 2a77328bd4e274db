"""AIME: problems of the American Invitational Mathematics Examination, of whatever year the file holds.

Source   Mathematical Association of America; 30 problems a year; that of 2024 stands in github.com/QwenLM/Qwen2.5-Math
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data PATH/aime24/test.jsonl --model MODEL --out DIR
Limits   Few items: one is 3.3 points. Answers are 0 to 999, where 073 is 73. A file may give several solutions one after the other.
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

NAME: str = "aime"
SUBJECT: str = "AIME"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Where the file is."""

    path: Path = field(default=Path("aime24/test.jsonl"), metadata=NOT_KEYED)
    """A .jsonl, .json or .parquet file."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the items depend on."""
    return find_files(config.path)


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """Whether a file with this first row is the benchmark."""
    fields = {name.lower() for name in row}
    named = "AIME" in f"{row.get('url', '')} {row.get('ID', '')} {file.parent.name} {file.name}".upper()
    return "answer" in fields and bool({"problem", "question"} & fields) and named


def items(config: Config) -> tuple[Item, ...]:
    """The problems in file order; raises BadInput where a row cannot be used: a benchmark is not read in part."""
    files = inputs(config)
    return benchmark.limited(items_from(NAME, read_files(files), to_record, files), config.limit)


def to_record(raw: Mapping[str, Any]) -> Problem:  # Any: as above
    """Problem and answer, whatever the case of their fields; the solution where there is one. Raises BadRow for a missing field."""
    raw = {name.lower(): value for name, value in raw.items()}
    answer = plain(raw, "answer").lstrip("0") or plain(raw, "answer")[-1:]
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
        id="aime/0",
        question="Find $7\\cdot 29$.",
        answer="203",
        level=None,
        subject="AIME",
        solution="",
    ),
    "$7\\cdot 29=203$.\nThe answer is 203",
)
