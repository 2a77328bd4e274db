"""MAWPS: one- and two-step word problems from four older collections.

Source   Koncel-Kedziorski et al. 2016 (NAACL, MAWPS); 2,065 rows: AddSub, MultiArith, SingleEq and SingleOp
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data PATH/mawps/test.jsonl --model MODEL --out DIR
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
from skyloom.mathqa.sources._files import plain, question_field, read_files

NAME: str = "mawps"
EVALUATION_ONLY: str = "its licence is not stated, and there is no train split: no source reads it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Where the file is."""

    path: Path = field(default=Path("mawps/test.jsonl"), metadata=NOT_KEYED)
    """A .jsonl, .json or .parquet file."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the items depend on."""
    return find_files(config.path)


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """Whether a file with this first row is the benchmark."""
    del file
    return {"input", "target"} <= set(row) and isinstance(row["target"], int | float)


def items(config: Config) -> tuple[Item, ...]:
    """The problems in file order; raises BadInput where a row cannot be used: a benchmark is not read in part."""
    files = inputs(config)
    return benchmark.limited(items_from(NAME, read_files(files), to_record, files), config.limit)


def to_record(raw: Mapping[str, Any]) -> Problem:  # Any: as above
    """Problem and number; the collection is the subject. Raises BadRow for a missing field."""
    answer = plain(raw, "target")
    if not answer:
        raise BadRow("target", "missing or empty")
    return Problem(
        question=question_field(raw, "input"),
        answer=answer,
        solution="",
        level=None,
        subject=plain(raw, "type") or "Word problems",
    )


EXAMPLE: tuple[Item, str] = (
    Item(
        id="mawps/0",
        question="Ana has 2 nuts and finds 3 more. How many nuts has she?",
        answer="5",
        level=None,
        subject="AddSub",
        solution="",
    ),
    "2+3=5\nThe answer is 5",
)
