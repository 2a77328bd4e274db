"""MATH: competition problems with level, subject and a boxed answer, in every form in which the set goes round.

Forms    problem, level, type, solution: one JSON file a problem, JSON lines, or one Parquet table (extra columns are ignored)
         problem, level (a number), subject, solution, answer: MATH-500 and single-table mirrors
         instruction, output, type: MetaMath's evaluation files, without levels
Source   Hendrycks et al. 2021 (arXiv 2103.03874): 7,500 train and 5,000 test problems in seven subjects
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds PATH/MATH/train.jsonl --source math_hendrycks ...
Limits   `Level ?` (two train rows) becomes no level. The answer is the stated one, else the last balanced box; a solution without
         one is a reject. A train file of another size is logged: subsets and PRM800K's own split (which holds test items) go round.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, Reject, SourceConfig
from skyloom.core.store import find_files, read_json_rows, text_field
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources._files import level_field, plain, question_field, read_files, worked
from skyloom.mathqa.verify.extraction import last_boxed

LICENCE: str = "MIT, contested (take-down notice of 2025): local use only"
SUFFIXES: tuple[str, ...] = (".jsonl", ".jsonl.gz", ".json", ".parquet")
TRAIN_ROWS: int = 7_500
TEST_ID: re.Pattern[str] = re.compile(r"/?test/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    """Where the files are."""

    path: Path = field(default=Path("MATH/train.jsonl"), metadata=NOT_KEYED)
    """A .jsonl or .parquet file, or a folder with SUBJECT/NUMBER.json files below it."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the rows depend on."""
    return find_files(config.path, SUFFIXES)


def split(config: Config) -> Literal["train", "test"]:
    """`test` when a file's name begins with test, its folder or the one above is called test, or a row's id says so.

    PRM800K's train file has 4,500 rows of MATH test in it; they are known by their `unique_id` alone.
    """
    files: tuple[Path, ...] = inputs(config)
    if any(file.name.startswith("test") or "test" in file.parent.parts[-2:] for file in files):
        return "test"
    tables = [file for file in files if not file.name.endswith(".json")]
    return "test" if any(_is_test_item(raw) for file in tables for raw in read_json_rows(file)) else "train"


def _is_test_item(raw: Raw | Reject) -> bool:
    return isinstance(raw, Raw) and any(TEST_ID.match(str(raw.data.get(name))) for name in ("id", "unique_id"))


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Rows in path and file order; a train set that has not 7,500 is logged."""
    del shard  # one
    count: int = 0
    for count, raw in enumerate(read_files(inputs(config)), 1):  # noqa: B007 - the last number counts
        yield raw
    if count != TRAIN_ROWS and split(config) == "train":
        logging.getLogger(__name__).warning(
            "%s: %d rows; MATH train has %d: a part of it, or another split", config.path, count, TRAIN_ROWS
        )


def to_record(raw: Mapping[str, Any]) -> Problem:
    """Problem, solution, its stated or last boxed answer, level and subject.

    Raises:
        BadRow: a field is missing or empty, the problem is only a picture, the level is unknown, or the solution has no box.
    """
    metamath: bool = "problem" not in raw and "instruction" in raw
    solution: str = text_field(raw, "output" if metamath else "solution").strip()
    answer: str | None = plain(raw, "answer") or last_boxed(solution)
    if answer is None:
        raise BadRow("solution", "no balanced \\boxed answer")
    level: int | None = None if metamath and raw.get("level") is None else level_field(raw)
    subject: str = "subject" if "type" not in raw and "subject" in raw else "type"
    return Problem(
        question=question_field(raw, "instruction" if metamath else "problem"),
        answer=answer,
        solution=worked(solution, answer),
        level=level,
        subject=text_field(raw, subject).strip(),
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
