"""AGIEval: the mathematics of school and college entrance exams, mostly multiple choice; its MATH file is refused.

Forms    JSON lines: passage, question, options or null, label (a letter) or answer (cloze), other = {solution} or null
Source   Zhong et al. 2023 (arXiv 2304.06364): gaokao-mathqa 351, gaokao-mathcloze 118, sat-math 220, aqua-rat 254 problems
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds PATH/data/v1 --source agieval --as-train ...
Limits   Its math.jsonl is made of MATH test items and is never a seed, as_train or not, whatever the file is called. Options stay in
         the question's text and the letter is the answer: annotate/question_kind knows such rows. A benchmark: see olympiadbench.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Raw, Reject
from skyloom.core.store import list_field, text_field
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources._files import (
    FilesConfig,
    bare,
    benchmark_split,
    files_of,
    options_text,
    plain,
    posed,
    read_files,
    worked,
)

LICENCE: str = "MIT (exam questions: rights of their owners not cleared)"
TASKS: tuple[str, ...] = ("gaokao-mathqa", "gaokao-mathcloze", "sat-math", "aqua-rat")
"""The files that are read of a folder: the other tasks are no mathematics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the files are: one file, or the folder with all tasks."""


split = benchmark_split


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the rows depend on: a folder's mathematics without its MATH file.

    Raises:
        BadInput: there is none, or the file is the one with the MATH test items.
    """
    files: tuple[Path, ...] = files_of(config)
    if config.path.is_dir():
        files = tuple(file for file in files if file.name.partition(".")[0] in TASKS)
        if not files:
            raise BadInput(f"{config.path}: holds none of {', '.join(TASKS)} (.jsonl)")
    elif config.path.name == "math.jsonl" and "sat" not in config.path.parts:  # an old layout has sat/.../math.jsonl
        raise _leak(str(config.path))
    return files


def _leak(file: str) -> BadInput:
    return BadInput(f"{file}: these are MATH test items, never seeds; leave the file out (--as-train does not help)")


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Rows in path and file order; raises BadInput at a row of MATH test under another file name."""
    del shard  # one
    for raw in read_files(inputs(config)):
        if isinstance(raw, Raw) and _is_math_test(raw.data.get("other")):
            raise _leak(f"{raw.file}: row {raw.row}: other.level and other.type")
        yield raw


def _is_math_test(other: Any) -> bool:  # Any: a JSON value
    return isinstance(other, dict) and isinstance(cast(dict[str, Any], other).get("level"), int) and "type" in other


def to_record(raw: Mapping[str, Any]) -> Problem:
    """Passage, question and options as one text; the letters of `label`, or the cloze answer; the stated solution.

    Raises:
        BadRow: a field is missing or of another type, or there is neither label nor answer.
    """
    options: list[Any] = list_field(raw, "options", empty=True) if raw.get("options") is not None else []
    if not all(isinstance(option, str) for option in options):
        raise BadRow("options", "expected texts")
    parts: tuple[str, ...] = (plain(raw, "passage"), text_field(raw, "question").strip(), options_text(options))
    other: Any = raw.get("other")
    working: str = plain(cast(dict[str, Any], other), "solution") if isinstance(other, dict) else ""
    answer: str = _letters(raw) or bare(plain(raw, "answer"))
    if not answer:
        raise BadRow("answer", "neither label nor answer")
    return Problem(
        question=posed("\n".join(filter(None, parts)), "question"),
        answer=answer,
        solution=worked(working, answer),
        level=None,
        subject="Mathematics",
    )


def _letters(raw: Mapping[str, Any]) -> str:  # Any: JSON values
    label = raw.get("label")
    if isinstance(label, list):
        return ", ".join(plain({"label": each}, "label") for each in cast(list[Any], label))
    return plain(raw, "label")


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {
        "passage": None,
        "question": "What is $2+2$?",
        "options": ["(A)$3$", "(B)$4$", "(C)$5$"],
        "label": "B",
        "answer": None,
        "other": {"solution": "Choice B is correct."},
    },
    Problem(
        question="What is $2+2$?\n(A)$3$\n(B)$4$\n(C)$5$",
        answer="B",
        solution="Choice B is correct.\nThe answer is B",
        level=None,
        subject="Mathematics",
    ),
)
