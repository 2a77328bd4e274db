"""Magpie Ultra: a response of Llama-3.1-405B-Instruct against one of its base model, scored by ArmoRM.

The sign of `score_difference` = `score` - `score_base` says which response is chosen; a tie keeps file order and equal scores, for the
decider score_gap. In the released selection every pair's base response runs on behind `<im_start>`: repair or drop it in curation.

Source   HF argilla/magpie-ultra-v0.1, 50,000 rows; RM-R1 (arXiv 2505.02387), appendix F.2, on the token
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom run skywork_v02 --set collect.magpie_ultra.hub=argilla/magpie-ultra-v0.1
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.core.errors import BadRow
from skyloom.core.hub import Hub
from skyloom.core.records import Message
from skyloom.core.store import number_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import FilesConfig, file_rows, files_of, split_of, user_turn
from skyloom.reward.sources._magpie import category_field

LICENCE: str = "Llama-3.1"
HUB: Hub = Hub("argilla/magpie-ultra-v0.1", skip=("embedding", "nn_indices", "nn_scores", "distilabel_metadata"))
ORIGIN: str = "magpie_ultra"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the set stands."""


inputs, split, rows = files_of, split_of, file_rows


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON or Parquet values
    """The pair of one row; raises BadRow, also where the stated difference contradicts the scores."""
    score, base, difference = (number_field(raw, name) for name in ("score", "score_base", "score_difference"))
    if (difference > 0) != (score > base) or (difference < 0) != (score < base):
        raise BadRow("score_difference", f"{difference} contradicts score {score} and score_base {base}")
    sides = ((text_field(raw, "response"), score), (text_field(raw, "response_base"), base))
    (chosen, high), (rejected, low) = sides if score >= base else sides[::-1]
    return pair(
        user_turn(text_field(raw, "instruction")),
        chosen,
        rejected,
        category=category_field(raw, "primary_tag"),
        origin=ORIGIN,
        score_chosen=high,
        score_rejected=low,
        scores=(score, base),
    )


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "instruction": "What is 2 + 2?",
        "response": "5, I believe.",
        "response_base": "4",
        "score": 0.05,
        "score_base": 0.17,
        "score_difference": -0.12,
        "primary_tag": "Math",
    },
    Pair(
        prompt=(Message(role="user", content="What is 2 + 2?"),),
        chosen="4",
        rejected="5, I believe.",
        category="Math",
        origin="magpie_ultra",
        score_chosen=0.17,
        score_rejected=0.05,
        scores=(0.05, 0.17),
    ),
)
