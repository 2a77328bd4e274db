"""MATH: competition problems with level, subject and a boxed answer, as JSON lines or one JSON file a problem.

Source   Hendrycks et al. 2021 (arXiv 2103.03874): 7,500 train and 5,000 test problems in seven subjects
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds PATH/MATH/train.jsonl --source math_hendrycks ...
Limits   `Level ?` (two train rows) becomes no level. The answer is the last balanced box; a solution without one is a reject.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, Reject, SourceConfig
from skyloom.core.store import find_files, read_json_rows, text_field
from skyloom.mathqa.records import MARK, Problem
from skyloom.mathqa.verify.extraction import last_boxed

LICENCE: str = "MIT, contested (take-down notice of 2025): local use only"
LEVEL: re.Pattern[str] = re.compile(r"Level ([1-5?])")
SUFFIXES: tuple[str, ...] = (".jsonl", ".jsonl.gz", ".json", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    """Where the files are."""

    path: Path = field(default=Path("MATH/train.jsonl"), metadata=NOT_KEYED)
    """A .jsonl or .parquet file, or a folder with SUBJECT/NUMBER.json files below it."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the rows depend on."""
    return find_files(config.path, SUFFIXES)


def split(config: Config) -> Literal["train", "test"]:
    """`test` when a file's name begins with test, or its folder or the one above is called test."""
    files: tuple[Path, ...] = inputs(config)
    return (
        "test" if any(file.name.startswith("test") or "test" in file.parent.parts[-2:] for file in files) else "train"
    )


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Rows in path and file order."""
    del shard  # one
    for file in inputs(config):
        yield from read_json_rows(file)


def to_record(raw: Mapping[str, Any]) -> Problem:
    """Problem, solution, its last boxed answer, level and subject.

    Raises:
        BadRow: a field is missing or empty, the level is unknown, or the solution has no box.
    """
    solution: str = text_field(raw, "solution").strip()
    answer: str | None = last_boxed(solution)
    if answer is None:
        raise BadRow("solution", "no balanced \\boxed answer")
    level: re.Match[str] | None = LEVEL.fullmatch(text_field(raw, "level").strip())
    if level is None:
        raise BadRow("level", "expected 'Level 1' to 'Level 5' or 'Level ?'")
    return Problem(
        question=text_field(raw, "problem").strip(),
        answer=answer,
        solution=f"{solution}\n{MARK}{answer}",
        level=None if level[1] == "?" else int(level[1]),
        subject=text_field(raw, "type").strip(),
    )


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {
        "problem": "What is $2+2$?",
        "level": "Level 1",
        "type": "Prealgebra",
        "solution": "We add: $2+2=\\boxed{4}$.",
    },
    Problem(
        question="What is $2+2$?",
        answer="4",
        solution="We add: $2+2=\\boxed{4}$.\nThe answer is 4",
        level=1,
        subject="Prealgebra",
    ),
)
