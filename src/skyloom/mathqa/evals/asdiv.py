"""ASDiv: grade-school word problems of many kinds, each with the operation that it needs.

Source   Miao, Liang & Su 2020 (ACL, ASDiv); 2,215 rows here, as they go round in github.com/QwenLM/Qwen2.5-Math
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data PATH/asdiv/test.jsonl --model MODEL --out DIR
Limits   132 answers are not one number (times, ratios, names). The unit in brackets is not part of the answer. A formula is no solution in
         words, so items have none.
"""

import re
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
from skyloom.mathqa.sources._files import plain, posed, read_files

NAME: str = "asdiv"
UNIT: re.Pattern[str] = re.compile(r"(?<=\S)\s*\([^()]*\)\s*\Z")
EVALUATION_ONLY: str = "CC BY-NC 4.0, and there is no train split: no source reads it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Where the file is."""

    path: Path = field(default=Path("asdiv/test.jsonl"), metadata=NOT_KEYED)
    """A .jsonl, .json or .parquet file."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the items depend on."""
    return find_files(config.path)


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """Whether a file with this first row is the benchmark."""
    del file
    return {"body", "question", "answer", "solution_type"} <= set(row)


def items(config: Config) -> tuple[Item, ...]:
    """The problems in file order; raises BadInput where a row cannot be used: a benchmark is not read in part."""
    files = inputs(config)
    return benchmark.limited(items_from(NAME, read_files(files), to_record, files), config.limit)


def to_record(raw: Mapping[str, Any]) -> Problem:  # Any: as above
    """Body and question, the answer without its unit, the operation as subject. Raises BadRow for a missing field."""
    answer = UNIT.sub("", plain(raw, "answer"))
    if not answer:
        raise BadRow("answer", "missing or empty")
    return Problem(
        question=posed(f"{plain(raw, 'body')} {plain(raw, 'question')}", "question"),
        answer=answer,
        solution="",
        level=None,
        subject=plain(raw, "solution_type") or "Word problems",
    )


EXAMPLE: tuple[Item, str] = (
    Item(
        id="asdiv/0",
        question="Ana has 2 nuts and Ben has 3. How many nuts have they together?",
        answer="5",
        level=None,
        subject="Addition",
        solution="",
    ),
    "2+3=5\nThe answer is 5",
)
