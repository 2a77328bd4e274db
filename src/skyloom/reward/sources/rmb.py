"""RMB: pairs with a scenario path, in a folder of JSON files whose names hold spaces.

Only the pairwise set is read; best-of-n files below the same folder are left out. RMB is a benchmark: all of it is a test split.

Source   Zhou et al. 2024 (arXiv 2410.09893); Zhou-Zoey/RMB-Reward-Model-Benchmark, RMB_dataset/Pairwise_set; no licence file
Flow     [collect] -> curate -> train -> evaluate -> report
Run      skyloom reward train --data rmb/Pairwise_set --source rmb --as-train
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Message, Raw, Reject
from skyloom.core.store import object_field, text_field
from skyloom.reward.records import Pair, pair
from skyloom.reward.sources._files import FilesConfig, benchmark_split, files_of, rows_of, turns_field

LICENCE: str = "none stated"
BEST_OF_N: str = "BoN_set"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(FilesConfig):
    """Where the folder stands."""


split = benchmark_split


def inputs(config: Config) -> tuple[Path, ...]:
    """The pairwise files."""
    found = tuple(path for path in files_of(config) if BEST_OF_N not in path.parts)
    if not found:
        raise BadInput(f"{config.path}: holds only RMB's best-of-n files; give its Pairwise_set folder")
    return found


def rows(config: Config, shard: int) -> Iterator[Raw | Reject]:
    """All rows in path order; there is one shard."""
    del shard
    return rows_of(inputs(config), config.max_rows)


def to_record(raw: Mapping[str, Any]) -> Pair:  # Any: parsed JSON
    """The pair of one RMB object; the losing side's key is `reject`."""
    chosen, reject = object_field(raw, "chosen"), object_field(raw, "reject")
    return pair(
        turns_field(raw, "conversation_input"),
        _answer(chosen, "chosen"),
        _answer(reject, "reject"),
        category=text_field(raw, "category_path", empty=True),
        origin=f"{text_field(chosen, 'llm_name', empty=True)} > {text_field(reject, 'llm_name', empty=True)}",
    )


def _answer(side: Mapping[str, Any], name: str) -> str:  # Any: as above
    try:
        return text_field(side, "answer")
    except BadRow as error:
        raise BadRow(f"{name}.answer", error.reason) from error


EXAMPLE: tuple[Mapping[str, Any], Pair] = (  # Any: as above
    {
        "pair_uid": "1",
        "conversation_input": [{"role": "user", "content": "Name a colour.", "language": "English"}],
        "chosen": {"llm_name": "a", "answer": "Blue."},
        "reject": {"llm_name": "b", "answer": "Seven."},
        "category_path": "Pairwise_set/Helpfulness/Open QA",
    },
    Pair(
        prompt=(Message(role="user", content="Name a colour."),),
        chosen="Blue.",
        rejected="Seven.",
        category="Pairwise_set/Helpfulness/Open QA",
        origin="a > b",
    ),
)
