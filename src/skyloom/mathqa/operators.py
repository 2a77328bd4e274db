"""What every augmenter shares: its config, its calls to the teacher, its prompt templates, and how replies are refused.

An augmenter (`mathqa/augment/x.py` with `x.toml` beside it) turns one problem into training rows by one or more calls in a row:
`STAGES` lists them; each builds messages from the problem and the slots read so far, and reads its own slots from the reply or
refuses it by name. `build` makes the row. Nothing in an augmenter does any input or output.

Flow     collect -> [synthesize] -> curate -> train -> evaluate -> report
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from skyloom.core.config import PluginConfig
from skyloom.core.records import Message
from skyloom.mathqa.records import MARK, Problem

END: str = "[end]"
"""Closing mark that every prompt asks for: a reply without it is not whole."""
Slots = Mapping[str, str]
Prompt = Callable[[Problem, Slots], tuple[Message, ...]]
Parse = Callable[[str, Problem, Slots], Slots]


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig(PluginConfig):
    """Base config of an augmenter: how many rows it makes from a problem."""

    samples: int = 1
    """Rows made from each problem; each has its own calls."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value that makes no call."""
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} must be at least 1")


class Refused(Exception):
    """The reply cannot be used; the reason is a short name that is counted by operator and stage."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Stage(NamedTuple):
    """One call to the teacher."""

    name: str
    prompt: Prompt
    """(problem, slots so far) -> messages."""
    parse: Parse
    """(reply, problem, slots so far) -> new slots; raises Refused."""


class Draft(NamedTuple):
    """What an augmenter made: the text of a training row."""

    question: str
    response: str
    answer: str


class Recorded(NamedTuple):
    """A recorded reply for the contract test: what a stage must read from it, or the reason for which it must refuse it."""

    stage: int
    reply: str
    expected: Slots | str
    slots: Slots = {}  # noqa: RUF012 - never mutated; slots that stand before this stage


@lru_cache(maxsize=64)
def _template(file: Path) -> Mapping[str, str]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def messages(file: Path, slots: Slots) -> tuple[Message, ...]:
    """The messages of a template file (`system`, `user`) with `{slot}` filled in; text in slots is never expanded again."""
    template: Mapping[str, str] = _template(file)
    user: str = template["user"].strip()
    for part in slots:
        if f"{{{part}}}" not in user:
            raise KeyError(f"{file.name}: no slot {part}")
    before: str = user
    pieces: list[str] = []
    while (hit := _next_slot(before, slots)) is not None:
        name, place = hit
        pieces += [before[:place], slots[name]]
        before = before[place + len(name) + 2 :]
    return (
        Message(role="system", content=template["system"].strip()),
        Message(role="user", content="".join([*pieces, before])),
    )


def _next_slot(text: str, slots: Slots) -> tuple[str, int] | None:
    found: list[tuple[int, str]] = [(place, name) for name in slots if (place := text.find(f"{{{name}}}")) >= 0]
    return (min(found)[1], min(found)[0]) if found else None


def closed(reply: str) -> str:
    """The reply up to its closing mark, stripped; refuses a reply that is empty or lacks the mark (cut, or declined)."""
    if not reply.strip():
        raise Refused("empty")
    text, mark, _ = reply.partition(END)
    if not mark:
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


def solution(reply: str) -> Slots:
    """`response` and `answer` of a worked solution whose last line is `The answer is N`."""
    text: str = closed(reply)
    working, _, last = text.rpartition("\n")
    if not last.startswith(MARK):
        raise Refused("no_answer")
    answer: str = last[len(MARK) :].strip().removesuffix(".").strip()
    if not answer:
        raise Refused("no_answer")
    if not working.strip():
        raise Refused("no_working")
    return {"response": f"{working.strip()}\n{MARK}{answer}", "answer": answer}
