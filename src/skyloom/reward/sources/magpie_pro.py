"""Magpie Pro (Llama 3): best and worst of five responses of Llama-3-70B-Instruct, scored by ArmoRM.

Source   Xu et al. 2024 (arXiv 2406.08464); HF Magpie-Align/Magpie-Pro-DPO-100K-v0.1, 98,000 train and 2,000 test rows
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom run skywork_v02 --set collect.magpie_pro.hub=Magpie-Align/Magpie-Pro-DPO-100K-v0.1
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skyloom.core.hub import Hub
from skyloom.reward.records import Pair
from skyloom.reward.sources._files import FilesConfig, file_rows, files_of, split_of
from skyloom.reward.sources._magpie import dpo_example, dpo_pair

LICENCE: str = "Llama-3"
HUB: Hub = Hub("Magpie-Align/Magpie-Pro-DPO-100K-v0.1")
ORIGIN: str = "magpie_pro"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the set stands."""


inputs, split, rows = files_of, split_of, file_rows


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON or Parquet values
    """The ready pair of one row, with all of its scores; raises BadRow."""
    return dpo_pair(raw, ORIGIN)


EXAMPLE: tuple[Mapping[str, Any], Pair] = dpo_example(ORIGIN)  # Any: as above
