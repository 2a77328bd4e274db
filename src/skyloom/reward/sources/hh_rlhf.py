"""HH-RLHF: human preferences as two whole transcripts, which part at the last assistant turn.

Transcripts read "\\n\\nHuman: ...\\n\\nAssistant: ...". The prompt is what stands before the last assistant turn. A pair whose
transcripts differ before that is rejected (which prompt was judged is unknown), as is one with two turns of one role in a row.

Source   Bai et al. 2022 (arXiv 2204.05862); HF Anthropic/hh-rlhf; files whose name holds "test" are its test split
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom reward train --data hh_rlhf/harmless-base-test.jsonl.gz --source hh_rlhf --as-train
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.core.errors import BadRow
from skyloom.core.hub import Hub
from skyloom.core.records import Message
from skyloom.core.store import text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import FilesConfig, file_rows, files_of, split_of

LICENCE: str = "MIT"
HUB: Hub = Hub("Anthropic/hh-rlhf")
TURN: re.Pattern[str] = re.compile(r"\n\n(Human|Assistant):")
ROLE: dict[str, str] = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the transcripts stand."""


inputs, split, rows = files_of, split_of, file_rows


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON
    """The pair that two transcripts state; raises BadRow where they do not part at the last assistant turn."""
    chosen, rejected = (_turns(name, text_field(raw, name)) for name in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise BadRow("rejected", "differs from chosen before the last assistant turn")
    return pair(chosen[:-1], chosen[-1].content, rejected[-1].content)


def _turns(name: str, transcript: str) -> list[Message]:
    lead, *parts = TURN.split(transcript)
    if lead.strip() or not parts:
        raise BadRow(name, 'does not begin with "\\n\\nHuman:"')
    turns = [Message(role=ROLE[role], content=text.strip()) for role, text in zip(parts[::2], parts[1::2], strict=True)]
    if turns[-1].role != "assistant":
        raise BadRow(name, "the last turn is not the assistant's")
    return turns


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "chosen": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Is tea hot?\n\nAssistant: Mostly, yes.",
        "rejected": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Is tea hot?\n\nAssistant: No idea.",
    },
    Pair(
        prompt=(
            Message(role="user", content="Hi"),
            Message(role="assistant", content="Hello."),
            Message(role="user", content="Is tea hot?"),
        ),
        chosen="Mostly, yes.",
        rejected="No idea.",
    ),
)
