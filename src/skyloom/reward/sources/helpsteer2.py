"""HelpSteer2: two rated responses to a prompt, in adjacent rows, become one pair.

Reading rule  Two rows in a row with the same prompt are joined; the higher `helpfulness` (0 to 4, the set's own aggregate) is chosen. A tie
              keeps file order and equal scores, for the decider score_gap to drop with a reason; a row without a partner is a reject. A
              prompt of several turns is one text, cut at `<extra_id_1>ROLE`. Files of `preference/` are read too, one pair a row:
              `preference_strength` -3 to 3, above 0 prefers response_2; the scores are then its size and 0, and rows of its
              validation split are left out (and counted) unless as_train is set.
Source   Wang et al. 2024 (arXiv 2406.08673, preferences 2410.01257); HF nvidia/HelpSteer2, 20,324 train and 1,038 validation rows
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom run skywork_v02 --set collect.helpsteer2.hub=nvidia/HelpSteer2
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.core.errors import BadRow
from skyloom.core.hub import Hub
from skyloom.core.records import Message, Raw, Reject
from skyloom.core.store import number_field, object_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import ROLE_NAMES, FilesConfig, file_rows, files_of, split_of

LICENCE: str = "CC-BY-4.0"
HUB: Hub = Hub("nvidia/HelpSteer2")
VALIDATION: str = "a row of the validation split"
NON_ROWS: tuple[str, ...] = (VALIDATION,)
TURN: re.Pattern[str] = re.compile(r"\n?<extra_id_1>([^\n]*)\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the set stands."""


inputs, split = files_of, split_of


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """Two adjacent rows with one prompt as {first, second}, in file order; rows of `preference/` as they are."""
    del shard
    waiting: Raw | None = None
    for raw in file_rows(config):
        if isinstance(raw, Reject):
            yield raw
        elif "preference_strength" in raw.data:
            held_out = raw.data.get("split") in ("val", "validation") and not config.as_train
            yield Reject(raw.file, raw.row, "split", VALIDATION) if held_out else raw
        elif waiting is None:
            waiting = raw
        elif waiting.data.get("prompt") == raw.data.get("prompt"):
            yield Raw(waiting.file, waiting.row, {"first": waiting.data, "second": raw.data})
            waiting = None
        else:
            yield _alone(waiting)
            waiting = raw
    if waiting is not None:
        yield _alone(waiting)


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON or Parquet values
    """The pair of two rated responses, or of one row of `preference/`; raises BadRow."""
    if "preference_strength" in raw:
        strength = number_field(raw, "preference_strength")
        rated = (
            (text_field(raw, "response_1"), max(-strength, 0.0)),
            (text_field(raw, "response_2"), max(strength, 0.0)),
        )
        prompt = text_field(raw, "prompt")
    else:
        both = object_field(raw, "first"), object_field(raw, "second")
        prompt = text_field(both[0], "prompt")
        rated = tuple((text_field(each, "response"), number_field(each, "helpfulness")) for each in both)
    (chosen, high), (rejected, low) = sorted(rated, key=lambda each: -each[1])  # stable: a tie keeps file order
    scores = tuple(score for _, score in rated)
    return pair(_turns(prompt), chosen, rejected, score_chosen=high, score_rejected=low, scores=scores)


def _alone(raw: Raw) -> Reject:
    return Reject(raw.file, raw.row, "prompt", "no second response with this prompt in the next row")


def _turns(prompt: str) -> list[Message]:
    first, *parts = TURN.split(prompt)
    turns = [Message(role="user", content=first)]
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        if name.strip().lower() not in ROLE_NAMES:
            raise BadRow("prompt", f"unknown role {name.strip()[:40]!r} behind <extra_id_1>")
        turns.append(Message(role=ROLE_NAMES[name.strip().lower()], content=text))
    return turns


FILE_ROW: Mapping[str, Any] = {  # Any: as above
    "prompt": "Name a colour.\n<extra_id_1>Assistant\nBlue.\n<extra_id_1>User\nAnother one.",
    "response": "Seven.",
    "helpfulness": 1,
    "correctness": 0,
    "coherence": 4,
    "complexity": 0,
    "verbosity": 0,
}
"""One row as the file holds it."""
EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {"first": FILE_ROW, "second": {**FILE_ROW, "response": "Green.", "helpfulness": 4, "correctness": 4}},
    Pair(
        prompt=(
            Message(role="user", content="Name a colour."),
            Message(role="assistant", content="Blue."),
            Message(role="user", content="Another one."),
        ),
        chosen="Green.",
        rejected="Seven.",
        score_chosen=4.0,
        score_rejected=1.0,
        scores=(1.0, 4.0),
    ),
)
