"""The record of the reward system: one preference pair.

Flow   sources make it, the ledger stores it, curation judges it, training and evaluation read it
Run    skyloom reward curate --data pairs.jsonl --out runs/pairs
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skyloom.core.errors import BadRow
from skyloom.core.records import Message

ROLES: tuple[str, ...] = ("system", "user", "assistant")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A conversation and two ways to go on, one of them preferred. Make it with `pair`, which checks it."""

    prompt: tuple[Message, ...]
    """All turns before the last reply: an optional system turn, then user and assistant in turns, a user turn last."""
    chosen: str
    """The preferred last assistant turn."""
    rejected: str
    """The other one."""
    category: str = ""
    """Task category or benchmark subset, as the source names it; empty where it names none."""
    origin: str = ""
    """Who wrote or gathered the pair inside its source: a generator, or the source column of a merged set."""
    score_chosen: float | None = None
    """The source's own score of the chosen side, in the source's units; null where it has none."""
    score_rejected: float | None = None
    """The same for the rejected side."""


def pair(
    prompt: Sequence[Message],
    chosen: str,
    rejected: str,
    *,
    category: str = "",
    origin: str = "",
    score_chosen: float | None = None,
    score_rejected: float | None = None,
) -> Pair:
    """A checked pair; raises BadRow naming the field for broken roles, empty turns, and empty or identical sides."""
    check_prompt(prompt)
    for name, text in (("chosen", chosen), ("rejected", rejected)):
        if not text.strip():
            raise BadRow(name, "empty")
    if chosen.strip() == rejected.strip():
        raise BadRow("rejected", "identical to chosen")
    return Pair(
        prompt=tuple(prompt),
        chosen=chosen,
        rejected=rejected,
        category=category,
        origin=origin,
        score_chosen=score_chosen,
        score_rejected=score_rejected,
    )


def check_prompt(prompt: Sequence[Message]) -> None:
    """Raise BadRow unless the turns run [system] user (assistant user)* and none is empty."""
    if not prompt:
        raise BadRow("prompt", "no turns before the reply")
    for message in prompt:
        if message.role not in ROLES:
            raise BadRow("prompt", f"unknown role; known: {', '.join(ROLES)}")
        if not message.content.strip():
            raise BadRow("prompt", "empty turn")
    turns = [message.role for message in prompt if message.role != "system"]
    if any(message.role == "system" for message in prompt[1:]):
        raise BadRow("prompt", "role order broken: a system turn after the first turn")
    if not turns or turns != [("user", "assistant")[k % 2] for k in range(len(turns))]:
        raise BadRow("prompt", "role order broken: user and assistant must take turns, the user first")
    if turns[-1] != "user":
        raise BadRow("prompt", "role order broken: the last turn before the reply must be the user's")


def prompt_text(prompt: Sequence[Message]) -> str:
    """The turns as plain text, one role and content a line: for keys and display, not for a model."""
    return "\n".join(f"{message.role}: {message.content}" for message in prompt)
