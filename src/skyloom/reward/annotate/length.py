"""Length: characters and words of each side, turns and words of the prompt.

Formula  words = maximal runs without white space; characters are Unicode code points
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "map"
READS: tuple[str, ...] = ("prompt", "chosen", "rejected")
WRITES: dict[str, pl.DataType] = {
    "length.turns": pl.Int64(),  # turns of the prompt
    "length.prompt_words": pl.Int64(),
    "length.chosen_chars": pl.Int64(),
    "length.rejected_chars": pl.Int64(),
    "length.chosen_words": pl.Int64(),
    "length.rejected_words": pl.Int64(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Lengths of each row."""
    del config
    contents = pl.col("prompt").list.eval(pl.element().struct.field("content")).list.join("\n")
    return rows_N.select(
        pl.col("prompt").list.len().cast(pl.Int64).alias("length.turns"),
        _words(contents).alias("length.prompt_words"),
        pl.col("chosen").str.len_chars().cast(pl.Int64).alias("length.chosen_chars"),
        pl.col("rejected").str.len_chars().cast(pl.Int64).alias("length.rejected_chars"),
        _words(pl.col("chosen")).alias("length.chosen_words"),
        _words(pl.col("rejected")).alias("length.rejected_words"),
    )


def _words(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(r"\S+").cast(pl.Int64)


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: column values
    ({"prompt": [{"role": "user", "content": "Say hello"}], "chosen": "Hello to you", "rejected": "Né"},),
    (
        {
            "length.turns": 1,
            "length.prompt_words": 2,
            "length.chosen_chars": 12,
            "length.rejected_chars": 2,
            "length.chosen_words": 3,
            "length.rejected_words": 1,
        },
    ),
)
