"""OffsetBias: pairs whose worse output is the tempting one: longer, more concrete, more familiar, or off the question.

Its card warns against training on it alone.

Source   Park et al. 2024 (arXiv 2407.06551); HF NCSOFT/offsetbias, 8,504 rows
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom run skywork_v02 --set collect.offsetbias.hub=NCSOFT/offsetbias
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

LICENCE: str = "BSD-3-Clause"
HUB: Hub = Hub("NCSOFT/offsetbias")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the set stands."""


inputs, split, rows = files_of, split_of, file_rows


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON or Parquet values
    """The pair of one row: `label` 1 or 2 names the better output; raises BadRow."""
    label = number_field(raw, "label")
    if label not in (1, 2):
        raise BadRow("label", f"expected 1 or 2, got {label:g}")
    outputs = text_field(raw, "output_1"), text_field(raw, "output_2")
    chosen, rejected = outputs if label == 1 else outputs[::-1]
    return pair(user_turn(text_field(raw, "instruction")), chosen, rejected)


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "instruction": "Name a colour.",
        "output_1": "Colours are many, and all are fine.",
        "output_2": "Blue.",
        "label": 2,
    },
    Pair(
        prompt=(Message(role="user", content="Name a colour."),),
        chosen="Blue.",
        rejected="Colours are many, and all are fine.",
    ),
)
