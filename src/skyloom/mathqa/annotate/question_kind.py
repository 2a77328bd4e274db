"""Question kind: is a problem a proof, a choice, one of several parts, unanswerable, or written in broken LaTeX?

Formula  rules first (mathqa/kinds.py); where they are silent and a teacher is set, one call a row asks for yes or no to each kind but
         broken_latex. A verdict that cannot be read leaves the four kinds null: unknown, not absent
Source   classifiers of NeMo-Skills (OpenMathReasoning, arXiv 2504.16891); Skywork-Math seeds from non-proving problems only
         (arXiv 2407.08348, section 3.2); rules and prompt are ours
Flow     collect -> [choose seeds: ANNOTATE -> decide/question_kind] -> synthesize -> curate -> train; reads problems and instances
Run      --set "synthesize.passes.0.select.question_kind.teacher={\"url\": \"http://127.0.0.1:8000/v1\", \"model\": \"m\"}"
Limits   The rules are made for precision: they miss proofs and parts that are put in unusual words.
Shapes   N rows
"""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from skyloom.core.config import NOT_KEYED
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.llm.chat import REFUSED, Reply, Request
from skyloom.core.llm.request_log import RequestLog
from skyloom.core.llm.teacher import TeacherConfig, work
from skyloom.mathqa.kinds import KINDS, Kind, classify
from skyloom.mathqa.operators import Call, Refused, Slots, closed

KIND: str = "map"
VERSION: int = 1
READS: tuple[str, ...] = ("question", "answer")
WRITES: dict[str, pl.DataType] = {
    **{f"kind.{name}": pl.Boolean() for name in KINDS},  # null: a teacher was asked and its verdict cannot be read
    "kind.evidence": pl.String(),  # kind: words that it was found by; null for a plain question
}
JUDGED: tuple[Kind, ...] = ("proof", "choice", "parts", "unanswerable")
"""What a teacher is asked about: LaTeX is a matter of counting."""
VERDICT: re.Pattern[str] = re.compile(rf"^\W*({'|'.join(JUDGED)})\W*:\W*(yes|no)\b", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Who is asked where the rules are silent."""

    teacher: TeacherConfig | None = None
    """None: nobody; a temperature of 0 suits it."""
    log: Path | None = field(default=None, metadata=NOT_KEYED)
    """Request log that keeps the replies, so that no call is paid for twice; None: they are not kept."""


def verdicts(reply: str, slots: Slots) -> Slots:
    """yes or no for each of JUDGED; refuses unclosed, empty, no_verdict and two_verdicts."""
    del slots
    told: list[tuple[str, str]] = [(hit[1].lower(), hit[2].lower()) for hit in VERDICT.finditer(closed(reply))]
    if len(set(told)) > len(dict(told)):
        raise Refused("two_verdicts")
    if len(dict(told)) < len(JUDGED):
        raise Refused("no_verdict")
    return dict(told)


ASK: Call = Call("kind", Path(__file__).with_suffix(".toml"), JUDGED, verdicts)


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """A truth value for each kind, and the words that the first ones were found by.

    Raises:
        BadInput, FailedWork: as core.llm.teacher.work does, where a teacher is set.
    """
    texts: list[tuple[str, str]] = list(rows_N.select("question", "answer").iter_rows())
    found: list[Mapping[Kind, str] | str] = [classify(question, answer) for question, answer in texts]
    if config.teacher is not None:
        silent: list[int] = [k for k, kinds in enumerate(found) if not kinds]
        for k, told in zip(silent, _asked(config, config.teacher, [texts[k] for k in silent]), strict=True):
            found[k] = told
    return pl.DataFrame([_row(kinds) for kinds in found], schema=WRITES)


def _asked(config: Config, teacher: TeacherConfig, texts: Sequence[tuple[str, str]]) -> list[Mapping[Kind, str] | str]:
    """The teacher's kinds of each text, or the reason for which its reply was refused."""
    with RequestLog(config.log) if config.log is not None else nullcontext() as log:
        return list(work(teacher, (_task(question, answer) for question, answer in texts), log))


def _task(question: str, answer: str) -> Generator[Request, Reply, Mapping[Kind, str] | str]:
    asked = ASK(question=question, answer=answer)
    reply: Reply = yield Request(messages=asked.messages, sample=asked.draw)
    if reply.finish == REFUSED:
        return REFUSED
    try:
        told: Slots = verdicts(reply.text, asked.slots)
    except Refused as error:
        return error.reason
    return {kind: "the teacher's verdict" for kind in JUDGED if told[kind] == "yes"}


def _row(kinds: Mapping[Kind, str] | str) -> dict[str, bool | str | None]:
    if isinstance(kinds, str):
        unread: dict[str, bool | str | None] = {f"kind.{name}": None for name in JUDGED}
        return {**unread, "kind.broken_latex": False, "kind.evidence": f"no verdict: {kinds}"}
    evidence: str = "; ".join(f"{name}: {span}" for name, span in kinds.items())
    return {**{f"kind.{name}": name in kinds for name in KINDS}, "kind.evidence": evidence or None}


_NONE: dict[str, Any] = {**{f"kind.{name}": False for name in KINDS}, "kind.evidence": None}
EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (
    (
        {"question": "Solve $x + 3 = 7$ for $x$.", "answer": "4"},
        {"question": "Let $n$ be even. Prove that $n^2$ is even.", "answer": "proof"},
        {"question": "Which number is even?\n(A) 3\n(B) 4\n(C) 5", "answer": "B"},
        {"question": "Let $x = 2$. (a) Find $x^2$. (b) Find $x^3$.", "answer": "4, 8"},
        {"question": "Find the area of the triangle shown in the figure.", "answer": "6"},
        {"question": "Find $\\frac{1}{2.", "answer": "0.5"},
    ),
    (
        _NONE,
        {**_NONE, "kind.proof": True, "kind.evidence": "proof: answer: proof"},
        {**_NONE, "kind.choice": True, "kind.evidence": "choice: (A) 3 (B) 4 (C) 5"},
        {**_NONE, "kind.parts": True, "kind.evidence": "parts: Find $x^2$."},
        {**_NONE, "kind.unanswerable": True, "kind.evidence": "unanswerable: shown in the figure"},
        {**_NONE, "kind.broken_latex": True, "kind.evidence": "broken_latex: {2."},
    ),
)
