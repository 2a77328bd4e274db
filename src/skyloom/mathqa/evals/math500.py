r"""MATH-500: five hundred of the MATH test problems, in every form in which the subset goes round.

Forms    problem, solution, answer, subject, level, unique_id: JSON lines or Parquet, read by sources/math_hendrycks.py
         prompt (a chat whose first line asks for a box), reward_model.ground_truth: Parquet for RL, without levels and solutions
         MATH's own test file and, as `ids`, a JSON list of the ids of the five hundred
Source   Lightman et al. 2023 (arXiv 2305.20050), github.com/openai/prm800k
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data PATH/MATH500/test.parquet --model MODEL --out DIR
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from skyloom.core.config import NOT_KEYED
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Raw
from skyloom.core.store import list_field, object_field, read_bytes, text_field
from skyloom.mathqa import benchmark
from skyloom.mathqa.benchmark import EvalConfig, Item
from skyloom.mathqa.evals.math import is_math500
from skyloom.mathqa.reading import items_from
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources import math_hendrycks
from skyloom.mathqa.sources._files import plain, posed, read_files

NAME: str = "math500"
SOURCE: str = "math_hendrycks"
SIZE: int = 500
ASKED: re.Pattern[str] = re.compile(r"\A[^\n]*\\boxed\{\}[^\n]*\n\s*")
"""The line in front of every problem of the form for RL, which is no part of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    """Where the files are."""

    path: Path = field(default=Path("MATH500/test.jsonl"), metadata=NOT_KEYED)
    """The subset; or MATH's whole test file, where `ids` is given."""
    ids: Path | None = field(default=None, metadata=NOT_KEYED)
    """A JSON list of ids such as test/algebra/2584."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the items depend on."""
    files = math_hendrycks.inputs(math_hendrycks.Config(path=config.path))
    return (*files, config.ids) if config.ids else files


def recognises(row: Mapping[str, Any], file: Path) -> bool:  # Any: JSON values
    """Whether a file with this first row is the benchmark."""
    if "reward_model" in row:
        return "MATH-500" in str(row.get("data_source"))
    return {"problem", "solution"} <= set(row) and is_math500(row, file)


def items(config: Config) -> tuple[Item, ...]:
    """The problems in file order; raises BadInput where a row cannot be used, or some of the ids are not in the file."""
    files = math_hendrycks.inputs(math_hendrycks.Config(path=config.path))
    found = items_from(NAME, read_files(files), to_record, files)
    if config.ids is not None:
        wanted = _ids(config.ids)
        rows = [raw.data for raw in read_files(files) if isinstance(raw, Raw)]
        names = [str(row.get("id") or row.get("unique_id")) for row in rows]
        found = tuple(item for item, name in zip(found, names, strict=True) if _key(name) in wanted)
        if len(found) != len(wanted):
            raise BadInput(
                f"{config.path}: {len(found)} of the {len(wanted)} ids of {config.ids}; give MATH's whole test file"
            )
        found = tuple(replace(item, id=f"{NAME}/{number}") for number, item in enumerate(found))
    elif len(found) != SIZE:
        raise BadInput(
            f"{config.path}: {len(found):,} problems, MATH-500 has 500; of MATH's test file take them by `ids`"
        )
    return benchmark.limited(found, config.limit)


def _ids(path: Path) -> frozenset[str]:
    try:
        listed: Any = json.loads(read_bytes(path))  # Any: checked below
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from error
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in cast(list[Any], listed)):
        raise BadInput(f"{path}: expected a list of ids such as test/algebra/2584")
    return frozenset(map(_key, cast(list[str], listed)))


def _key(name: str) -> str:
    """`/test/algebra/2584.json` and `test/algebra/2584` are one."""
    return name.strip("/").removesuffix(".json")


def to_record(raw: Mapping[str, Any]) -> Problem:  # Any: as above
    """A row in any of the forms. Raises BadRow for a missing field."""
    if "reward_model" not in raw:
        return math_hendrycks.to_record(raw)
    turns = [turn for turn in list_field(raw, "prompt") if isinstance(turn, dict)]
    if not turns:
        raise BadRow("prompt", "no turn")
    answer = plain(object_field(raw, "reward_model"), "ground_truth")
    if not answer:
        raise BadRow("reward_model.ground_truth", "missing or empty")
    question = posed(ASKED.sub("", text_field(cast(dict[str, Any], turns[-1]), "content")), "prompt")
    return Problem(question=question, answer=answer, solution="", level=None, subject="MATH")


EXAMPLE: tuple[Item, str] = (
    Item(
        id="math500/0",
        question="What is $\\frac{1}{4}+\\frac{1}{4}$?",
        answer="\\frac{1}{2}",
        level=1,
        subject="Prealgebra",
        solution="$\\frac{1}{4}+\\frac{1}{4}=\\boxed{\\frac{1}{2}}$.\nThe answer is \\frac{1}{2}",
    ),
    "$\\frac{1}{4}+\\frac{1}{4}=\\boxed{\\frac{1}{2}}$.\nThe answer is \\frac{1}{2}",
)
