"""Skywork-Reward-Preference-80K: the released selection, v0.1 (81,973 rows) or v0.2 (77,016 rows).

Columns `chosen` and `rejected` (lists of {content, role}) and `source`. In all magpie-ultra pairs the two conversations differ in
their number of turns: the rejected side carries a chat-control token (RM-R1, arXiv 2505.02387, appendix F.2). Such a side is kept
whole as one reply, so that curation sees the token and decides. No score and no category is released; each row carries the licence of
the set that its `source` names.

Source   Liu et al. 2024 (arXiv 2410.18451); HF Skywork/Skywork-Reward-Preference-80K-v0.1 and -v0.2
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom reward train --data preference_80k.parquet --source skywork_80k
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skyloom.core.errors import BadRow
from skyloom.core.hub import Hub
from skyloom.core.records import Message
from skyloom.core.store import text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources import (
    helpsteer2,
    magpie_air,
    magpie_pro,
    magpie_pro31,
    magpie_ultra,
    offsetbias,
    wildguardmix,
)
from skyloom.reward.sources._files import FilesConfig, file_rows, files_of, split_of, turns_field

LICENCE: str = "mixed"
HUB: Hub = Hub("Skywork/Skywork-Reward-Preference-80K-v0.2")
TURN_BREAK: str = "\n\n"
LICENCES: tuple[tuple[str, str], ...] = (
    ("magpieultra", magpie_ultra.LICENCE),
    ("magpieprollama31", magpie_pro31.LICENCE),
    ("magpiepro", magpie_pro.LICENCE),
    ("magpieair", magpie_air.LICENCE),
    ("wildguard", wildguardmix.LICENCE),
    ("offsetbias", offsetbias.LICENCE),
    ("helpsteer2", helpsteer2.LICENCE),
)
"""How a `source` value begins, letters and digits only -> the licence of that set; the first that fits counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the file stands."""


inputs, split, rows = files_of, split_of, file_rows


def licence(record: Pair) -> str:
    """The licence of the set that the row was taken from; unknown where its name is none of the seven."""
    name = re.sub(r"[^a-z0-9]", "", record.origin.lower())
    return next((each for start, each in LICENCES if name.startswith(start)), "unknown")


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON or Parquet values
    """The pair of one row: the prompt is the shorter side's turns before its reply, both sides must begin with it."""
    chosen, rejected = turns_field(raw, "chosen"), turns_field(raw, "rejected")
    prompt = min(chosen, rejected, key=len)[:-1]
    if chosen[: len(prompt)] != prompt or rejected[: len(prompt)] != prompt:
        raise BadRow("rejected", "differs from chosen before the last assistant turn")
    return pair(
        prompt,
        _reply(chosen[len(prompt) :], "chosen"),
        _reply(rejected[len(prompt) :], "rejected"),
        origin=text_field(raw, "source", empty=True),
    )


def _reply(turns: Sequence[Message], name: str) -> str:
    if not turns or turns[0].role != "assistant":
        raise BadRow(name, "the turn after the prompt is not the assistant's")
    return TURN_BREAK.join(turn.content for turn in turns)


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "chosen": [{"content": "Name a colour.", "role": "user"}, {"content": "Blue.", "role": "assistant"}],
        "rejected": [
            {"content": "Name a colour.", "role": "user"},
            {"content": "Seven. <im_start>", "role": "assistant"},
            {"content": "Sure?", "role": "user"},
            {"content": "Yes.", "role": "assistant"},
        ],
        "source": "magpie_ultra",
    },
    Pair(
        prompt=(Message(role="user", content="Name a colour."),),
        chosen="Blue.",
        rejected="Seven. <im_start>\n\nSure?\n\nYes.",
        origin="magpie_ultra",
    ),
)
