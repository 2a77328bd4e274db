"""Exact duplicates: which pairs are the same pair, and which are the same pair with its sides swapped.

Formula  two pairs are one when prompt, chosen and rejected agree after case folding and joining of white space (punctuation
         stays: it can be what an instruction is about); a cluster contradicts itself when both orders of the sides stand in it
Source   128 bits a pair: among 1e9 pairs, a false copy with odds of 2e-21 (core/text/digests.py)
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train; a fit over the rows still alive
Run      skyloom run skywork_reward --smoke
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
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
    # Slices, because every text is copied once on its way: a whole pool would stand in memory twice.
    frame = pl.concat([_keys(rows_N[:0]), *map(_keys, rows_N.iter_slices(8192))]).with_row_index("at")
    pair = pl.struct("high", "low")
    return frame.select(
        pl.col("at").min().over(pair).cast(pl.Int64).alias("duplicates.cluster"),
        (pl.col("order").n_unique().over(pair) > 1).alias("duplicates.contradicts"),
    )


def _keys(rows_N: pl.DataFrame) -> pl.DataFrame:
    """128 bits of the unordered pair, and which side's digest comes first."""
    from skyloom.core.text.digests import (
        digests,
        join_digests,
    )  # numba: half a second that listing plug-ins need not wait

    count_N = rows_N["prompt"].list.len().cast(pl.Int64).to_numpy()
    turns = rows_N["prompt"].filter(count_N > 0).explode()
    # No role holds white space, so the first word of "role content" is the role.
    said = pl.select(pl.concat_str(turns.struct.field("role"), pl.lit(" "), turns.struct.field("content"))).to_series()
    prompt_N2 = join_digests(digests(said), count_N)
    chosen_N2, rejected_N2 = digests(rows_N["chosen"]), digests(rows_N["rejected"])
    order_N = (chosen_N2[:, 0] < rejected_N2[:, 0]) | (
        (chosen_N2[:, 0] == rejected_N2[:, 0]) & (chosen_N2[:, 1] <= rejected_N2[:, 1])
    )
    first_N2, second_N2 = (
        np.where(order_N[:, None], *sides) for sides in ((chosen_N2, rejected_N2), (rejected_N2, chosen_N2))
    )
    three_T2 = np.stack([prompt_N2, first_N2, second_N2], axis=1).reshape(-1, 2)
    pair_N2 = join_digests(three_T2, np.full(rows_N.height, 3))
    return pl.DataFrame({"high": pair_N2[:, 0], "low": pair_N2[:, 1], "order": order_N})


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
