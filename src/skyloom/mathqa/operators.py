"""What every augmenter shares: its config, its calls to the teacher, its prompt templates, and how replies are refused.

An augmenter (`mathqa/augment/x.py` with `x.toml` beside it) turns one problem into training rows. `CALLS` declares what it may ask;
`make(job, config)` is its program: a generator that yields calls, is sent the slots read from each reply, and yields a Draft for every
row that it makes. A reply that cannot be used raises Refused inside the program, which may catch it and go on (another round, another
strategy) or let it end the job; either way it is counted by operator and call. Nothing in an augmenter does any input or output.

Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report
"""

import re
import tomllib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skyloom.core.config import PluginConfig
from skyloom.core.records import Message
from skyloom.mathqa.records import MARK, Problem
from skyloom.mathqa.verify.extraction import last_boxed

END: str = "[end]"
"""Closing mark that every prompt asks for: a reply without it is not whole."""
CLOSING: re.Pattern[str] = re.compile(r"[`*]*\[end\]", re.IGNORECASE)
ANSWER_LINE: re.Pattern[str] = re.compile(
    r"(?P<before>.*?)(?:\b(?:[Tt]herefore|[Ss]o|[Tt]hus|[Hh]ence),? )?\*{0,2}[Tt]he (?:final )?answer is:?(?P<answer>.*)"
)
"""A closing line that tells the answer, whatever a model wraps it in."""
Slots = Mapping[str, str]
Parse = Callable[[str, Slots], Slots]


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig(PluginConfig):
    """Base config of an augmenter: how much it makes from a problem."""

    samples: int = 1
    """Jobs for each problem, where the pass sets no number of its own; each has its own calls."""
    share: float = 1.0
    """Part of a pass with a number of jobs of its own (`rows`), relative to the shares of the pass's other augmenters."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value that makes no call."""
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} must be at least 1")
        if not self.share > 0:
            raise ValueError(f"share={self.share} must be above 0")


class Refused(Exception):
    """The reply, or the problem itself, cannot be used; the reason is a short name that is counted by operator and call."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Asked(NamedTuple):
    """A call with its slots filled in."""

    call: "Call"
    slots: Slots
    """What stands in the prompt."""
    draw: int
    """Which reply to this very prompt, from 0."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is sent."""
        return messages(self.call.template, self.call.name, self.slots)


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of question to the teacher."""

    name: str
    """Table of the template file."""
    template: Path
    reads: tuple[str, ...]
    """Slots that a good reply gives."""
    parse: Parse
    """(reply, slots that stood in the prompt) -> slots read; raises Refused."""
    stop: str = END
    """Mark that closes a reply; what a teacher writes behind it is ignored."""

    def __call__(self, draw: int = 0, **slots: str) -> Asked:
        """Ask it of these slots."""
        return Asked(self, slots, draw)


class Job(NamedTuple):
    """One run of an augmenter's program."""

    problem: Problem
    sample: int
    """Number among the jobs that the augmenter runs on this problem, from 0."""
    draws: np.random.Generator
    """The job's own: a function of the run's seed, the augmenter, the problem's text and the sample."""


class Draft(NamedTuple):
    """A training row as an augmenter makes it."""

    question: str
    response: str
    answer: str
    gold: str | None
    """The right answer where it is known: the seed's, as long as the question means the same, or the masked number. None: a new
    question, which only votes and verifiers can judge. It counts for as much as the seed's own answer does."""
    meaning: str = ""
    """Text of the question that this one puts in other words: rows that mean the same are one another's votes. Empty: its own."""
    round: int = 0
    """Round of an operator that builds on its own rows, from 1; 0: it has no rounds."""
    strategy: str = ""
    """Which form of the operator, where it has several."""
    parent: int | None = None
    """Which earlier draft of this job the row was made from, from 0; None: the seed."""


Program = Generator[Asked | Draft, Slots, None]


class Recorded(NamedTuple):
    """A recorded reply for the contract test: what a call must read from it, or the reason for which it must refuse it."""

    call: Call
    reply: str
    expected: Slots | str
    slots: Slots = {}  # noqa: RUF012 - never mutated; slots that stood in the prompt


class Example(NamedTuple):
    """An augmenter's example for the contract test."""

    problem: Problem
    config: AugmentConfig
    replies: tuple[str, ...]
    """What a teacher answers, call by call, in a job on this problem."""
    drafts: tuple[Draft, ...]
    """What the job makes of them."""
    recorded: tuple[Recorded, ...]
    """Single replies, good ones and each kind of broken one."""


@lru_cache(maxsize=64)
def _template(file: Path) -> Mapping[str, Any]:  # Any: TOML
    return tomllib.loads(file.read_text(encoding="utf-8"))


def messages(file: Path, table: str, slots: Slots) -> tuple[Message, ...]:
    """The messages of one table of a template file: `system`; `shots`, worked examples that give every slot and the `reply`; `user`.

    `{slot}` is filled in; text in slots is never expanded again. Raises KeyError for a slot that the prompt does not have.
    """
    template: Mapping[str, Any] = _template(file)[table]
    user: str = template["user"].strip()
    for part in slots:
        if f"{{{part}}}" not in user:
            raise KeyError(f"{file.name}: {table}: no slot {part}")
    told = [Message(role="system", content=template["system"].strip())]
    for shot in template.get("shots", ()):
        told.append(Message(role="user", content=_filled(user, {part: shot[part].strip() for part in slots})))
        told.append(Message(role="assistant", content=shot["reply"].strip()))
    return (*told, Message(role="user", content=_filled(user, slots)))


def _filled(text: str, slots: Slots) -> str:
    pieces: list[str] = []
    while (hit := _next_slot(text, slots)) is not None:
        name, place = hit
        pieces += [text[:place], slots[name]]
        text = text[place + len(name) + 2 :]
    return "".join([*pieces, text])


def _next_slot(text: str, slots: Slots) -> tuple[str, int] | None:
    found: list[tuple[int, str]] = [(place, name) for name in slots if (place := text.find(f"{{{name}}}")) >= 0]
    return (min(found)[1], min(found)[0]) if found else None


def closed(reply: str) -> str:
    """The reply up to its closing mark, stripped; refuses a reply that is empty or lacks the mark (cut, or declined)."""
    if not reply.strip():
        raise Refused("empty")
    text, *after = CLOSING.split(reply, maxsplit=1)
    if not after:
        raise Refused("unclosed")
    if not text.strip():
        raise Refused("empty")
    return text.strip()


def behind(text: str, mark: str) -> str:
    """What stands behind an opening mark, stripped; refuses a reply without the mark or with nothing behind it."""
    _, found, rest = text.partition(mark)
    if not found:
        raise Refused("no_mark")
    if not rest.strip():
        raise Refused("empty")
    return rest.strip()


def solution(reply: str, slots: Slots) -> Slots:
    """`response` and `answer` of a worked solution; refuses unclosed, empty, no_answer and no_working.

    The answer stands in the last line, behind `the answer is` or in a box; the response ends with a line of its own for it.
    """
    del slots
    text: str = closed(reply)
    working, _, last = text.rpartition("\n")
    told: re.Match[str] | None = ANSWER_LINE.match(last)
    if told is None:
        working, answer = text, last_boxed(last) or ""
    else:
        working, answer = (
            f"{working}\n{told['before']}".strip() if told["before"].strip(" *,:") else working,
            told["answer"],
        )
    boxed: str | None = last_boxed(answer)
    answer = (answer if boxed is None else boxed).strip(" *").removesuffix(".").strip(" *")
    if not answer:
        raise Refused("no_answer")
    if not working.strip():
        raise Refused("no_working")
    return {"response": f"{working.strip()}\n{MARK}{answer}", "answer": answer}


ANSWER: Call = Call(
    "answer", Path(__file__).with_name("augment") / "answer_augment.toml", ("response", "answer"), solution
)
"""The one prompt by which every augmenter has its questions answered."""
