"""UltraFeedback, binarised: the best of four responses against one of the other three, with GPT-4's mean ratings.

Equal scores are kept here, for the decider score_gap to drop with a reason.

Source   Cui et al. 2023 (arXiv 2310.01377); HF HuggingFaceH4/ultrafeedback_binarized, train_prefs 61,135 and test_prefs 2,000 rows
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom reward train --data train_prefs.parquet --source ultrafeedback
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.core.hub import Hub
from skyloom.core.records import Message
from skyloom.core.store import number_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import FilesConfig, common_prompt, file_rows, files_of, split_of, turns_field

LICENCE: str = "MIT"
HUB: Hub = Hub("HuggingFaceH4/ultrafeedback_binarized", split="train_prefs", skip=("messages",))


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the set stands."""


inputs, split, rows = files_of, split_of, file_rows


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON or Parquet values
    """The pair of one row; the prompt is the turns that both sides share. Raises BadRow."""
    text_field(raw, "prompt")  # repeats the first turn; a file without it is another one
    prompt, chosen, rejected = common_prompt(turns_field(raw, "chosen"), turns_field(raw, "rejected"))
    scores = number_field(raw, "score_chosen"), number_field(raw, "score_rejected")
    return pair(prompt, chosen, rejected, score_chosen=scores[0], score_rejected=scores[1])


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "prompt": "Name a colour.",
        "prompt_id": "0",
        "chosen": [{"content": "Name a colour.", "role": "user"}, {"content": "Blue.", "role": "assistant"}],
        "rejected": [{"content": "Name a colour.", "role": "user"}, {"content": "Seven.", "role": "assistant"}],
        "score_chosen": 8.5,
        "score_rejected": 3.0,
    },
    Pair(
        prompt=(Message(role="user", content="Name a colour."),),
        chosen="Blue.",
        rejected="Seven.",
        score_chosen=8.5,
        score_rejected=3.0,
    ),
)
