"""Backward: does the row's answer lead back to a number of its question? One number is masked, the answer told, a teacher asked.

Formula  asked = numbers masked and asked for, at most `masks`; right = those that the teacher's answer equals. A reply that cannot be
         read, such as "no number fits", counts as asked and not right
Source   FOBAR (Jiang et al. 2023, arXiv 2308.07758), where it ranks answers; the question is the one that augment/fobar makes, so a
         reply to it in the request log serves both
Flow     collect -> synthesize -> [curate: ANNOTATE -> annotate/correct -> decide/correct] -> train -> evaluate -> report
Run      --set "curate.backward.teacher={\"url\": \"http://127.0.0.1:8000/v1\", \"model\": \"m\"}"
Limits   Where several values fit, or the answer does not depend on the number, a right answer fails. A question that is a backward one
         itself has its number hidden already: it is not asked (`why` says so), its gold is that number. Costs a call a mask.
Shapes   N rows
"""

import re
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from skyloom.core.config import NOT_KEYED
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.llm.chat import REFUSED, Reply, Request
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, work
from skyloom.core.rng import stream
from skyloom.mathqa.augment import fobar
from skyloom.mathqa.operators import Asked, Draft, Job, Refused
from skyloom.mathqa.records import Problem
from skyloom.mathqa.verify.grading import grade

KIND: str = "map"
VERSION: int = 2
READS: tuple[str, ...] = ("question", "response", "answer")
WRITES: dict[str, pl.DataType] = {
    "backward.asked": pl.Int64(),  # null: no teacher is set
    "backward.right": pl.Int64(),
    "backward.why": pl.String(),  # why the first number that did not come back was not asked for or missed; null: none
}
ITSELF: re.Pattern[str] = re.compile(
    r"\bHere (?P<letter>[A-Z]) is an unknown number\b.*\bof (?P=letter)\?\s*\Z", re.DOTALL
)
"""A question that augment/fobar or augment/self_verification made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Who is asked, and how often."""

    teacher: TeacherConfig | None = None
    """None: nobody, and every column is null but `why`; a temperature of 0 suits it."""
    log: Path | None = field(default=None, metadata=NOT_KEYED)
    """Request log that keeps the replies, so that no call is paid for twice; None: they are not kept."""
    masks: int = 1
    """Numbers of a question that are asked for, each in a call of its own."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, where nothing would be asked."""
        if self.masks < 1:
            raise ValueError(f"masks={self.masks} must be at least 1")


class _Found(NamedTuple):
    asked: int
    right: int
    why: str | None


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Counts of 0 or more, and the reason why a number did not come back.

    Raises:
        BadInput, FailedWork: as core.llm.teacher.work does, where a teacher is set.
    """
    if config.teacher is None:
        return pl.DataFrame([(None, None, "no_teacher")] * rows_N.height, schema=WRITES, orient="row")
    problems = (
        # The row's own response says which numbers its answer was made from.
        Problem(question=question, answer=answer, solution=response, level=None, subject="")
        for question, response, answer in rows_N.select("question", "response", "answer").iter_rows()
    )
    with RequestLog(config.log) if config.log is not None else nullcontext() as log:
        found: list[_Found] = list(work(config.teacher, (_task(each, config.masks) for each in problems), log))
    return pl.DataFrame(found, schema=WRITES, orient="row")


def _task(problem: Problem, masks: int) -> Generator[Request, Reply, _Found]:
    if ITSELF.search(problem.question):
        return _Found(0, 0, "backward_question")
    asked = right = 0
    why: str | None = None
    for sample in range(masks):
        program = fobar.make(Job(problem, sample, stream(0, "mathqa.backward")), fobar.Config())
        try:
            call = next(program)
        except Refused as error:
            return _Found(asked, right, why if asked else error.reason)
        assert isinstance(call, Asked)
        missed: str | None = _missed((yield Request(messages=call.messages, sample=call.draw)), call, program)
        asked, right, why = asked + 1, right + (missed is None), why or missed
    return _Found(asked, right, why)


def _missed(reply: Reply, call: Asked, program: Generator[Asked | Draft, Mapping[str, str], None]) -> str | None:
    """Why the reply does not give the masked number back; None where it does."""
    if reply.finish == REFUSED:
        return REFUSED
    try:
        draft = program.send(call.call.parse(reply.text, call.slots))
    except Refused as error:
        return error.reason
    assert isinstance(draft, Draft)
    assert draft.gold is not None
    return None if grade(draft.gold, draft.answer).equal else "another_number"


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: column values
    ({"question": "Solve x + 3 = 7 for x.", "response": "7-3=4\nThe answer is 4", "answer": "4"},),
    ({"backward.asked": None, "backward.right": None, "backward.why": "no_teacher"},),
)
