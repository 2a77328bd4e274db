"""SciBench: college textbook problems with a numeric answer and its unit; the three mathematics books by default.

Forms    lists of objects, one file a textbook (calculus.json, diff.json, stat.json, ...), and *_sol.json with worked solutions
Source   Wang et al. 2023 (arXiv 2307.10635), 695 problems in ten books; github.com/mandyyyyii/scibench, dataset/original
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds PATH/dataset/original --source scibench --as-train ...
Limits   Answers are rounded by the books: an exact one may be graded as wrong. A unit such as 10^7 km is asked for in the question.
         Problems that speak of a figure are left out. A benchmark: see olympiadbench.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Raw, Reject
from skyloom.mathqa.kinds import IMAGE
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources._files import (
    FilesConfig,
    bare,
    benchmark_split,
    files_of,
    plain,
    question_field,
    read_files,
    with_unit,
    worked,
)

LICENCE: str = "MIT (textbook problems: rights of their publishers not cleared)"
SUBJECTS: dict[str, str] = {"calculus": "Calculus", "diff": "Differential equations", "stat": "Statistics"}
"""Source name, as in file names and the field `source`, of the mathematics books."""
FIGURE: re.Pattern[str] = re.compile(r"(?<!significant )\b(?:figures?|fig\.)(?:\s+\d|\s|[.,;)]|$)", re.IGNORECASE)
PICTURE: str = "needs a figure"
NON_ROWS: tuple[str, ...] = (PICTURE,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the files are: one file, or the folder with all books."""

    science: bool = False
    """Of a folder, read the books of physics and chemistry too."""


split = benchmark_split


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the rows depend on; of a folder the mathematics only, unless `science`."""
    files: tuple[Path, ...] = files_of(config)
    if config.path.is_dir() and not config.science:
        files = tuple(file for file in files if file.name.partition(".")[0].removesuffix("_sol") in SUBJECTS)
        if not files:
            raise BadInput(f"{config.path}: holds none of {', '.join(SUBJECTS)} (.json)")
    return files


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Rows in path and file order."""
    del shard  # one
    return read_files(inputs(config))


def to_record(raw: Mapping[str, Any]) -> Problem:
    """The problem with its unit asked for; the answer as written in LaTeX where it is exact, else the number.

    Raises:
        BadRow: a field is missing or empty, or the problem needs a figure.
    """
    question: str = question_field(raw, "problem_text")
    if FIGURE.search(question) or IMAGE.search(question):
        raise BadRow("problem_text", PICTURE)
    answer: str = bare(plain(raw, "answer_latex")) or bare(plain(raw, "answer_number"))
    if not answer:
        raise BadRow("answer_number", "empty text")
    source: str = plain(raw, "source")
    return Problem(
        question=with_unit(question, plain(raw, "unit")),
        answer=answer,
        solution=worked(plain(raw, "solution"), answer),
        level=None,
        subject=SUBJECTS.get(source, source),
    )


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {
        "problem_text": " A planet is $3 \\times 10^7$ km away and moves $4 \\times 10^7$ km further. How far is it?\r\n",
        "answer_latex": " 7",
        "answer_number": "7",
        "unit": " $10^7 \\mathrm{~km}$",
        "source": "calculus",
        "problemid": " 1.2.3",
        "comment": " ",
    },
    Problem(
        question=(
            "A planet is $3 \\times 10^7$ km away and moves $4 \\times 10^7$ km further. How far is it?\n"
            "Give the answer in $10^7 \\mathrm{~km}$, as a number alone."
        ),
        answer="7",
        solution="The answer is 7",
        level=None,
        subject="Calculus",
    ),
)
