"""MATH test: competition problems by level and subject.

Source   Hendrycks et al. 2021 (arXiv 2103.03874); the files are read by sources/math_hendrycks.py
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data PATH/MATH/test.jsonl --model MODEL --out DIR
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyloom.core.config import NOT_KEYED
from skyloom.mathqa import benchmark
from skyloom.mathqa.benchmark import EvalConfig, Item
from skyloom.mathqa.reading import read_items
from skyloom.mathqa.sources import math_hendrycks

NAME: str = "math"
SOURCE: str = "math_hendrycks"
VERSION: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Where the files are."""

    path: Path = field(default=Path("MATH/test.jsonl"), metadata=NOT_KEYED)
    """A .jsonl or .parquet file, or a folder with SUBJECT/NUMBER.json files below it."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the items depend on."""
    return math_hendrycks.inputs(math_hendrycks.Config(path=config.path))


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """Whether a file with this first row is the benchmark."""
    return {"problem", "solution", "level"} <= set(row) and not is_math500(row, file)


def is_math500(row: Mapping[str, Any], file: Path) -> bool:  # Any: as above
    """Whether a file of MATH problems is the subset of 500."""
    return "unique_id" in row or re.search(r"math[-_]?500", f"{file.parent.name}/{file.name}".lower()) is not None


def items(config: Config) -> tuple[Item, ...]:
    """The problems in file order; raises BadInput where a row cannot be used: a benchmark is not read in part."""
    return benchmark.limited(read_items(math_hendrycks, math_hendrycks.Config(path=config.path), NAME), config.limit)


EXAMPLE: tuple[Item, str] = (
    Item(
        id="math/0",
        question="What is $\\frac{1}{4}+\\frac{1}{4}$?",
        answer="\\frac{1}{2}",
        level=1,
        subject="Prealgebra",
    ),
    "$\\frac{1}{4}+\\frac{1}{4}=\\boxed{\\frac{1}{2}}$.\nThe answer is \\frac{1}{2}",
)
