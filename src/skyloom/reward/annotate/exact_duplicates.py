"""Exact duplicates: which pairs are the same pair, and which are the same pair with its sides swapped.

Formula  two pairs are one when prompt, chosen and rejected agree after case folding and joining of white space (punctuation
         stays: it can be what an instruction is about); a cluster contradicts itself when both orders of the sides stand in it
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train; a fit over the rows still alive
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "fit"
READS: tuple[str, ...] = ("prompt", "chosen", "rejected")
WRITES: dict[str, pl.DataType] = {
    "duplicates.cluster": pl.Int64(),  # equal for equal pairs, whichever side is chosen; the position of the first of them
    "duplicates.contradicts": pl.Boolean(),  # the cluster holds both labels
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Cluster and contradiction of each row."""
    del config
    keys = [_keys(prompt, chosen, rejected) for prompt, chosen, rejected in rows_N.select(READS).iter_rows()]
    frame = pl.DataFrame(keys, schema={"pair": pl.Binary, "order": pl.Boolean}, orient="row").with_row_index("at")
    return frame.select(
        pl.col("at").min().over("pair").cast(pl.Int64).alias("duplicates.cluster"),
        (pl.col("order").n_unique().over("pair") > 1).alias("duplicates.contradicts"),
    )


def folded(text: str) -> str:
    """The text as duplicates compare it."""
    return " ".join(text.casefold().split())


def _keys(prompt: Sequence[Mapping[str, str]], chosen: str, rejected: str) -> tuple[bytes, bool]:
    """(hash of the unordered pair, whether the chosen side sorts first)."""
    turns = [f"{turn['role']}\x1f{folded(turn['content'])}" for turn in prompt]
    sides = [folded(chosen), folded(rejected)]
    text = "\x1e".join([*turns, *sorted(sides)])
    return hashlib.blake2b(text.encode(), digest_size=16).digest(), sides[0] <= sides[1]


def _row(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:  # Any: column values
    return {"prompt": [{"role": "user", "content": prompt}], "chosen": chosen, "rejected": rejected}


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (_row("Hi", "Hello", "Go"), _row("A", "B", "C"), _row("hi", "hello ", "go"), _row("A", "C", "B")),
    (
        {"duplicates.cluster": 0, "duplicates.contradicts": False},
        {"duplicates.cluster": 1, "duplicates.contradicts": True},
        {"duplicates.cluster": 0, "duplicates.contradicts": False},
        {"duplicates.cluster": 1, "duplicates.contradicts": True},
    ),
)
