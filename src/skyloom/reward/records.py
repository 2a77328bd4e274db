"""The record of the reward system: one preference pair.

Flow   sources make it, the ledger stores it, curation judges it, training and evaluation read it
Run    skyloom reward curate --data pairs.jsonl --out runs/pairs
"""

import math
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
    scores: tuple[float, ...] = ()
    """The source's scores of all the responses that it drew for the prompt, in its order and units; empty where it ships none."""
    confidence: float | None = None
    """The source's own probability that the chosen side is the better one, 0.5 to 1; null where it states none."""


def pair(
    prompt: Sequence[Message],
    chosen: str,
    rejected: str,
    *,
    category: str = "",
    origin: str = "",
    score_chosen: float | None = None,
    score_rejected: float | None = None,
    scores: Sequence[float] = (),
    confidence: float | None = None,
) -> Pair:
    """A checked pair; raises BadRow naming the field for broken roles, empty turns, empty or identical sides, scores that are not
    finite, and a confidence outside 0.5 to 1."""
    check_prompt(prompt)
    for name, text in (("chosen", chosen), ("rejected", rejected)):
        if not text.strip():
            raise BadRow(name, "empty")
    if chosen.strip() == rejected.strip():
        raise BadRow("rejected", "identical to chosen")
    for name, values in (("score_chosen", (score_chosen,)), ("score_rejected", (score_rejected,)), ("scores", scores)):
        if any(value is not None and not math.isfinite(value) for value in values):
            raise BadRow(name, "not a finite number")
    if confidence is not None and not 0.5 <= confidence <= 1:
        raise BadRow("confidence", f"expected 0.5 to 1, got {confidence}")
    return Pair(
        prompt=tuple(prompt),
        chosen=chosen,
        rejected=rejected,
        category=category,
        origin=origin,
        score_chosen=score_chosen,
        score_rejected=score_rejected,
        scores=tuple(scores),
        confidence=confidence,
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
