"""GSM8K: grade-school word problems as `question`, `answer` with calculator marks and a last line `#### n`.

Source   Cobbe et al. 2021 (arXiv 2110.14168), github.com/openai/grade-school-math; 7,473 train and 1,319 test rows
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds PATH/gsm8k/train.jsonl --source gsm8k ...
Limits   Marks such as <<2*3=6>> are removed. Skywork-Math leaves GSM8K out of its seeds, so that it stays out of domain.
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

LICENCE: str = "MIT"
MARKS: re.Pattern[str] = re.compile(r"<<[^<>]*>>")
FINAL: re.Pattern[str] = re.compile(r"\n?####[ \t]*([^\n]*)\s*\Z")
SUFFIXES: tuple[str, ...] = (".jsonl", ".jsonl.gz", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    """Where the file is."""

    path: Path = field(default=Path("gsm8k/train.jsonl"), metadata=NOT_KEYED)
    """train.jsonl or test.jsonl (also .gz or .parquet), or a folder that holds only such files."""


def inputs(config: Config) -> tuple[Path, ...]:
    """Files whose content the rows depend on."""
    return find_files(config.path, SUFFIXES)


def split(config: Config) -> Literal["train", "test"]:
    """`test` when any file has test in its name: a mixed folder counts as test."""
    return "test" if any("test" in file.name.lower() for file in inputs(config)) else "train"


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Rows in file order."""
    del shard  # one
    for file in inputs(config):
        yield from read_json_rows(file)


def to_record(raw: Mapping[str, Any]) -> Problem:
    """Question, working without marks, and the answer behind ####.

    Raises:
        BadRow: a field is missing or empty, or the answer has no last line `#### n`.
    """
    question, text = text_field(raw, "question"), text_field(raw, "answer")
    hit: re.Match[str] | None = FINAL.search(text)
    if hit is None or not hit[1].strip():
        raise BadRow("answer", "no last line '#### n'")
    answer: str = hit[1].strip()
    working: str = MARKS.sub("", text[: hit.start()]).rstrip()
    solution: str = f"{working}\n{MARK}{answer}".lstrip()
    return Problem(question=question.strip(), answer=answer, solution=solution, level=None, subject="Word problems")


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {
        "question": "Ana has 2 bags of 3 nuts. How many nuts is that?",
        "answer": "There are 2*3=<<2*3=6>>6 nuts.\n#### 6",
    },
    Problem(
        question="Ana has 2 bags of 3 nuts. How many nuts is that?",
        answer="6",
        solution="There are 2*3=6 nuts.\nThe answer is 6",
        level=None,
        subject="Word problems",
    ),
)
