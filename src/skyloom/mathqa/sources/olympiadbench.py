"""OlympiadBench: olympiad problems with a final answer; proofs, pictures and answers that no program can grade are left out by name.

Forms    lists of objects in files named {OE,TP}_{TO,MM}_{maths,physics}_{en,zh}_{COMP,CEE}.json, or the single table of the hub
Source   He et al. 2024 (arXiv 2402.14008); 675 text-only English maths problems with an answer (OE_TO_maths_en_COMP)
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds PATH/OE_TO_maths_en_COMP.json --source olympiadbench --as-train ...
Limits   A test benchmark: whoever seeds from it cannot report on it. Several answers stand in one, joined by commas.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, Reject
from skyloom.core.store import list_field, text_field
from skyloom.mathqa.kinds import IMAGE
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources._files import (
    FilesConfig,
    bare,
    benchmark_split,
    files_of,
    plain,
    posed,
    read_files,
    with_unit,
    worked,
)

LICENCE: str = "Apache-2.0 (as its hub page says)"
NAME: re.Pattern[str] = re.compile(r"(OE|TP)_(TO|MM)_(maths|physics)_(en|zh)_(COMP|CEE)")
PROOF, PICTURE, PHYSICS, CHINESE = "a proof", "needs a picture", "physics", "Chinese"
NON_ROWS: tuple[str, ...] = (PROOF, PICTURE, PHYSICS, CHINESE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the files are, and which of their problems are read."""

    physics: bool = False
    """Read physics too."""
    chinese: bool = False
    """Read problems in Chinese too."""


inputs, split = files_of, benchmark_split


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Rows in path and file order; what a file's name or a row's own fields rule out comes as a reject."""
    del shard  # one
    for file in inputs(config):
        by_name: tuple[str, ...] = _fields_of(file)
        for raw in read_files([file]):
            reason: str | None = None if isinstance(raw, Reject) else _ruled_out(by_name, raw.data, config)
            yield raw if reason is None else Reject(raw.file, raw.row, "", reason)


def _fields_of(file: Path) -> tuple[str, ...]:
    hit: re.Match[str] | None = NAME.match(file.name)
    return () if hit is None else tuple(hit.groups())


def _ruled_out(by_name: tuple[str, ...], raw: Mapping[str, Any], config: Config) -> str | None:  # Any: JSON values
    said: dict[str, str] = {name: str(raw.get(name)) for name in ("question_type", "modality", "subject", "language")}
    if "TP" in by_name or said["question_type"].lower().startswith("theorem"):
        return PROOF
    if "MM" in by_name or said["modality"].lower().startswith("multi"):
        return PICTURE
    if not config.physics and ("physics" in by_name or said["subject"].lower().startswith("phys")):
        return PHYSICS
    if not config.chinese and ("zh" in by_name or said["language"].lower() in ("zh", "chinese")):
        return CHINESE
    return None


def to_record(raw: Mapping[str, Any]) -> Problem:
    """Context and question, first solution, the final answers joined by commas; the unit is asked for in the question.

    Raises:
        BadRow: a field is missing or empty, the problem needs a picture, or its answer has a tolerance or asks for a human judge.
    """
    question: str = posed(f"{plain(raw, 'context')}\n\n{text_field(raw, 'question')}", "question")
    if IMAGE.search(question) or any(raw.get(f"image_{k}") for k in range(1, 6)):
        raise BadRow("question", PICTURE)
    if plain(raw, "answer_type").lower().startswith("need_human"):
        raise BadRow("answer_type", "needs a human judge")
    if plain(raw, "error"):
        raise BadRow("error", "the answer holds within a tolerance only")
    answers: list[Any] = list_field(raw, "final_answer")
    answer: str = ", ".join(bare(plain({"final_answer": each}, "final_answer")) for each in answers).strip(", ")
    if not answer:
        raise BadRow("final_answer", "empty text")
    solutions: list[Any] = list_field(raw, "solution", empty=True) if raw.get("solution") is not None else []
    return Problem(
        question=with_unit(question, bare(plain(raw, "unit"))),
        answer=answer,
        solution=worked(plain({"solution": solutions[0]}, "solution") if solutions else "", answer),
        level=None,
        subject=plain(raw, "subfield"),
    )


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {
        "id": 1,
        "subfield": "Algebra",
        "context": None,
        "question": "Find all real $x$ with $x^{2}=4$.",
        "solution": ["Both roots of 4."],
        "final_answer": ["$x=2$, $x=-2$."],
        "is_multiple_answer": True,
        "unit": None,
        "answer_type": "Numerical",
        "error": None,
    },
    Problem(
        question="Find all real $x$ with $x^{2}=4$.",
        answer="x=2, x=-2",
        solution="Both roots of 4.\nThe answer is x=2, x=-2",
        level=None,
        subject="Algebra",
    ),
)
