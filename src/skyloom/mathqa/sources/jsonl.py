"""Any file of problems: the fields are found by their usual names or named in the config, nested ones with dots.

Reading rule  Question, answer and solution are the first usual field that is there. Without an answer field, or where the answer is a
              whole solution, the answer is what the text marks: `#### n`, a box, `The answer is n`. A question may be a chat: its last
              user turn. Options become lines (A), (B), ... of the question. Unknown fields are ignored.
Flow     [collect] -> synthesize -> curate -> train -> evaluate -> report
Run      skyloom mathqa synthesize --seeds FILE --source jsonl --set collect.jsonl.answer=meta.gold ...
Limits   A level is 1 to 5 or absent. A file is a test split by its name alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from skyloom.core.errors import BadRow
from skyloom.core.records import Raw, Reject
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources._files import (
    FilesConfig,
    files_of,
    level_field,
    options_text,
    plain,
    posed,
    read_files,
    worked,
)
from skyloom.mathqa.verify.extraction import find

LICENCE: str = "as stated by its owner"
USUAL: dict[str, tuple[str, ...]] = {
    "question": ("question", "problem", "prompt", "query", "instruction", "input"),
    "answer": (
        "answer",
        "final_answer",
        "expected_answer",
        "ground_truth",
        "reward_model.ground_truth",
        "gold",
        "correct",
    ),
    "solution": ("solution", "rationale", "response", "output"),
    "level": ("level",),
    "subject": ("subject", "type", "category"),
    "options": ("options", "choices"),
}
"""Field names that are looked for, in this order, where the config names none."""
TEST_NAME: re.Pattern[str] = re.compile(r"(?:^|[^a-z])(?:test|eval|validation|dev)(?:[^a-z]|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the file is, and which fields hold what; an empty name looks for the usual ones."""

    question: str = ""
    answer: str = ""
    solution: str = ""
    level: str = ""
    """A name that no row has gives no level."""
    subject: str = ""
    options: str = ""


inputs = files_of


def split(config: Config) -> Literal["train", "test"]:
    """`test` where a file, or its folder, is named so: test, eval, validation or dev as a word."""
    files = inputs(config)
    named = any(TEST_NAME.search(file.name.lower()) or TEST_NAME.fullmatch(file.parent.name.lower()) for file in files)
    return "test" if named else "train"


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Rows in path and file order, their fields under our own names."""
    del shard  # one
    chosen: dict[str, str] = {name: getattr(config, name) for name in USUAL}
    for raw in read_files(inputs(config)):
        yield raw if isinstance(raw, Reject) else Raw(raw.file, raw.row, _renamed(raw.data, chosen))


def _renamed(raw: Mapping[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:  # Any: JSON values
    found: dict[str, Any] = {}
    for name, usual in USUAL.items():
        for path in (chosen[name],) if chosen[name] else usual:
            value = _at(raw, path)
            if value is not None:
                found[name] = value
                break
    return found


def _at(raw: Mapping[str, Any], path: str) -> Any:  # Any: as above
    """The value at a dotted path, parts of which may be positions of a list; None where it is not there."""
    if path in raw:
        return raw[path]
    value: Any = raw
    for part in path.split("."):
        if isinstance(value, dict):
            value = cast(dict[str, Any], value).get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(cast(list[Any], value)):
            value = value[int(part)]
        else:
            return None
    return value


def to_record(raw: Mapping[str, Any]) -> Problem:
    """The problem of a row whose fields have our names: question, answer, solution, level, subject, options.

    Raises:
        BadRow: no question, no answer anywhere, a level other than 1 to 5, or a value of another type.
    """
    solution: str = plain(raw, "solution")
    stated: str = _joined(raw)
    marked = find(stated, "marked") if stated else find(solution, "marked")
    if marked is None and not stated:
        raise BadRow("answer", "missing, and no solution marks one")
    working: str = solution or (stated if marked is not None else "")
    answer: str = stated if marked is None else marked.answer
    if working.rstrip().endswith(f"The answer is {answer}"):
        working = working.rstrip().removesuffix(f"The answer is {answer}").rstrip()
    return Problem(
        question=posed("\n".join(filter(None, (_question(raw), _options(raw)))), "question"),
        answer=answer,
        solution=worked(working, answer),
        level=None if raw.get("level") is None else level_field(raw),
        subject=plain(raw, "subject"),
    )


def _question(raw: Mapping[str, Any]) -> str:  # Any: as above
    value = raw.get("question")
    if isinstance(value, list):
        turns = [turn for turn in cast(list[Any], value) if isinstance(turn, dict) and turn.get("role") == "user"]
        if not turns:
            raise BadRow("question", "no turn of the user")
        return plain(turns[-1], "content")
    if "question" not in raw:
        raise BadRow("question", "missing")
    return plain(raw, "question")


def _joined(raw: Mapping[str, Any]) -> str:  # Any: as above
    """The stated answer; several in a list are joined by commas."""
    value = raw.get("answer")
    several: Sequence[Any] = cast(list[Any], value) if isinstance(value, list) else [value]
    return ", ".join(filter(None, (plain({"answer": each}, "answer") for each in several)))


def _options(raw: Mapping[str, Any]) -> str:  # Any: as above
    value = raw.get("options")
    if value is None:
        return ""
    if isinstance(value, dict):
        value = [f"({key}) {text}" for key, text in cast(dict[str, Any], value).items()]
    if not isinstance(value, list):
        raise BadRow("options", f"expected a list, got {type(value).__name__}")
    return options_text([plain({"options": each}, "options") for each in cast(list[Any], value)])


EXAMPLE: tuple[Mapping[str, Any], Problem] = (
    {"question": "What is $2+2$?", "answer": 4, "solution": "Two and two.", "level": "2", "subject": "Arithmetic"},
    Problem(
        question="What is $2+2$?",
        answer="4",
        solution="Two and two.\nThe answer is 4",
        level=2,
        subject="Arithmetic",
    ),
)
