"""A generic preference file: chosen and rejected as texts or conversations, with or without a prompt; JSONL, JSON or Parquet.

Reading rule  With `prompt` (or `conversations`, `instruction`, `question`): a side is the reply, or a conversation whose last turn is
              the reply and whose earlier turns, if any, equal the prompt. Without one: both sides are conversations (TRL's
              implicit-prompt form) and their common turns are the prompt. Unknown columns are ignored.
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom reward train --data pairs.jsonl --source pairs_file
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skyloom.core.errors import BadRow
from skyloom.core.records import Message
from skyloom.core.store import number_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import (
    FilesConfig,
    common_prompt,
    file_rows,
    files_of,
    split_of,
    text_or_turns,
    user_turn,
)

LICENCE: str = "as stated by its owner"
PROMPT_NAMES: tuple[str, ...] = ("prompt", "conversations", "messages", "instruction", "question")
"""Columns that may hold the prompt; the first one that is there counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the file stands."""


inputs, split, rows = files_of, split_of, file_rows


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON or Parquet values
    """The pair of one object."""
    prompt, chosen, rejected = parted(raw)
    return pair(
        prompt,
        chosen,
        rejected,
        category=text_field(raw, "category", empty=True) if raw.get("category") is not None else "",
        origin=text_field(raw, "source", empty=True) if raw.get("source") is not None else "",
        score_chosen=_score(raw, "score_chosen"),
        score_rejected=_score(raw, "score_rejected"),
    )


def parted(raw: Mapping[str, Any]) -> tuple[list[Message], str, str]:  # Any: as above
    """(prompt, chosen reply, rejected reply); raises BadRow where the sides do not share their prompt."""
    chosen, rejected = text_or_turns(raw, "chosen"), text_or_turns(raw, "rejected")
    name = next((each for each in PROMPT_NAMES if raw.get(each) is not None), "")
    if not name:
        return _implicit(chosen, rejected)
    stated = text_or_turns(raw, name)
    prompt = user_turn(stated) if isinstance(stated, str) else stated
    if name == "messages" and prompt[-1].role == "assistant":  # UltraFeedback repeats the chosen conversation there
        prompt = prompt[:-1]
    return prompt, _reply(chosen, prompt, "chosen"), _reply(rejected, prompt, "rejected")


def _implicit(chosen: str | list[Message], rejected: str | list[Message]) -> tuple[list[Message], str, str]:
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise BadRow("prompt", "missing: sides given as text need a prompt")
    return common_prompt(chosen, rejected)


def _reply(side: str | list[Message], prompt: Sequence[Message], name: str) -> str:
    if isinstance(side, str):
        return side
    if side[-1].role != "assistant":
        raise BadRow(name, "the last turn is not the assistant's")
    if side[:-1] and list(side[:-1]) != list(prompt):
        raise BadRow(name, "its earlier turns differ from the prompt")
    return side[-1].content


def _score(raw: Mapping[str, Any], name: str) -> float | None:  # Any: as above
    return number_field(raw, name) if raw.get(name) is not None else None


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "prompt": "Name a colour.",
        "chosen": [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Blue."}],
        "rejected": "Seven.",
        "category": "qa",
        "score_chosen": 4,
        "score_rejected": 1.5,
    },
    Pair(
        prompt=(Message(role="user", content="Name a colour."),),
        chosen="Blue.",
        rejected="Seven.",
        category="qa",
        score_chosen=4.0,
        score_rejected=1.5,
    ),
)
