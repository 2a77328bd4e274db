"""JEEBench: problems of India's JEE Advanced exam; mathematics by default, most of it multiple choice.

Forms    dataset.json: a list of description, index, subject (phy, chem, math), type, question (options inside), gold
Source   Arora et al. 2023 (arXiv 2305.15074), 515 problems; github.com/dair-iitd/jeebench
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds PATH/dataset.json --source jeebench --as-train ...
Limits   No worked solutions. The gold of MCQ is a letter, of MCQ(multiple) letters such as ABD: annotate/question_kind knows such rows.
         A benchmark: see olympiadbench.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, Reject
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources._files import (
    FilesConfig,
    benchmark_split,
    files_of,
    plain,
    question_field,
    read_files,
    worked,
)

LICENCE: str = "MIT (exam questions: rights of their owners not cleared)"
SUBJECTS: dict[str, str] = {"math": "Mathematics", "phy": "Physics", "chem": "Chemistry"}
TYPES: tuple[str, ...] = ("MCQ", "MCQ(multiple)", "Integer", "Numeric")
OTHER: str = "not mathematics"
NON_ROWS: tuple[str, ...] = (OTHER,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where dataset.json is."""

    science: bool = False
    """Read physics and chemistry too."""


inputs, split = files_of, benchmark_split


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Rows in file order; other subjects come as rejects unless `science`."""
    del shard  # one
    for raw in read_files(inputs(config)):
        other: bool = isinstance(raw, Raw) and raw.data.get("subject") in ("phy", "chem") and not config.science
        yield Reject(raw.file, raw.row, "subject", OTHER) if other else raw


def to_record(raw: Mapping[str, Any]) -> Problem:
    """The question with its options, and the gold: letters without blanks, or a number.

    Raises:
        BadRow: a field is missing or empty, or the type is unknown.
    """
    kind: str = plain(raw, "type")
    if kind not in TYPES:
        raise BadRow("type", f"expected one of {', '.join(TYPES)}")
    subject: str = plain(raw, "subject")
    if subject not in SUBJECTS:
        raise BadRow("subject", f"expected one of {', '.join(SUBJECTS)}")
    answer: str = plain(raw, "gold")
    if not answer:
        raise BadRow("gold", "empty text")
    return Problem(
        question=question_field(raw, "question"),
        answer=answer,
        solution=worked("", answer),
        level=None,
        subject=SUBJECTS[subject],
    )


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {
        "description": "JEE Adv 2016 Paper 1",
        "index": 1,
        "subject": "math",
        "type": "MCQ(multiple)",
        "question": "\n\nWhich numbers are even?\n\n(A) $2$\n\n(B) $4$\n\n(C) $5$\n\n(D) $7$",
        "gold": "AB",
    },
    Problem(
        question="Which numbers are even?\n\n(A) $2$\n\n(B) $4$\n\n(C) $5$\n\n(D) $7$",
        answer="AB",
        solution="The answer is AB",
        level=None,
        subject="Mathematics",
    ),
)
