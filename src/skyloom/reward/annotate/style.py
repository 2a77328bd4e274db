"""Style: how each side is dressed, as counts: lines, sentences, markdown of seven kinds, digits, capitals, marks, non-ASCII.

Formula  surface.py has one regular expression a feature; `markdown` is the sum of the seven markdown features
Source   features that style-controlled leaderboards regress out (Chatbot Arena's style control, 2024: length, headers, bold, lists);
         the others are ours
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train; decide/balance.py reads it; length.py has words and characters
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.reward.surface import NAMES, count

KIND: str = "map"
READS: tuple[str, ...] = ("chosen", "rejected")
FEATURES: tuple[str, ...] = tuple(name for name in NAMES if name not in ("characters", "words"))
"""What is counted: all of the surface that length.py does not have."""
WRITES: dict[str, pl.DataType] = {f"style.{name}_{side}": pl.Int32() for name in FEATURES for side in READS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Counts of each side."""
    del config
    return rows_N.select(count(pl.col(side), name).alias(f"style.{name}_{side}") for name in FEATURES for side in READS)


_CHOSEN: str = "# Plan\n\n- **Go** to [it](http://x.org)!\n1. Wait.\n```\nx = 1\n```\n| a | b |"
_COUNTED: dict[str, int] = {
    "lines": 8,
    "sentences": 3,
    "headers": 1,
    "bullets": 1,
    "numbered": 1,
    "bold": 1,
    "fences": 2,
    "tables": 1,
    "links": 1,
    "digits": 2,
    "capitals": 3,
    "questions": 0,
    "exclamations": 1,
    "foreign": 0,
    "markdown": 8,
}
_PLAIN: dict[str, int] = {
    **dict.fromkeys(FEATURES, 0),
    "lines": 1,
    "sentences": 1,
    "capitals": 1,
    "questions": 1,
    "foreign": 1,
}
EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: column values
    ({"chosen": _CHOSEN, "rejected": "Né?"},),
    (
        {f"style.{name}_chosen": value for name, value in _COUNTED.items()}
        | {f"style.{name}_rejected": value for name, value in _PLAIN.items()},
    ),
)
