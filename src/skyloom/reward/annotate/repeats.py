"""Repeats: under how many different prompts each side's text stands, in any place of the set.

A text that answers hundreds of prompts answers none of them: AlpacaEval's null model is one string of noise under every prompt, and it
wins many of its pairs.

Formula  texts and prompts are equal when they agree after case folding and joining of white space
Source   Zheng et al. 2024 (arXiv 2410.07137): null models win automatic benchmarks with a constant response
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train; a fit over the rows still alive
Run      skyloom reward curate --data FILE
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig

KIND: str = "fit"
READS: tuple[str, ...] = ("prompt", "chosen", "rejected")
SIDES: tuple[str, ...] = ("chosen", "rejected")
WRITES: dict[str, pl.DataType] = {
    "repeats.chosen": pl.Int64(),  # different prompts under which the chosen side's text stands, its own included; at least 1
    "repeats.rejected": pl.Int64(),
    "repeats.chosen_chars": pl.Int64(),  # length of that text: a short refusal may well stand under many
    "repeats.rejected_chars": pl.Int64(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Prompts of each side's text, and its length in characters."""
    del config
    told = pl.concat([_digests(rows_N[:0]), *map(_digests, rows_N.iter_slices(8192))])
    both = pl.concat([told.select(pl.col(side).alias("text"), "prompt") for side in SIDES])
    prompts = both.select(pl.col("prompt").n_unique().over("text").cast(pl.Int64)).to_series()
    return pl.DataFrame(
        {
            "repeats.chosen": prompts[: rows_N.height],
            "repeats.rejected": prompts[rows_N.height :],
            **{f"repeats.{side}_chars": rows_N[side].str.len_chars().cast(pl.Int64) for side in SIDES},
        }
    )


def _digests(rows_N: pl.DataFrame) -> pl.DataFrame:
    """64 bits of each text; in slices, because every text is copied once on its way."""
    from skyloom.core.text.digests import (  # numba: half a second that listing plug-ins need not wait
        digests,
        join_digests,
    )

    turns = rows_N["prompt"].explode().struct.field("content")
    prompt_N2 = join_digests(digests(turns), rows_N["prompt"].list.len().cast(pl.Int64).to_numpy())
    sides = {side: digests(rows_N[side])[:, 0] for side in SIDES}
    return pl.DataFrame({"prompt": prompt_N2[:, 0], **sides})


def _row(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:  # Any: column values
    return {"prompt": [{"role": "user", "content": prompt}], "chosen": chosen, "rejected": rejected}


def _told(chosen: int, rejected: int, chars: tuple[int, int]) -> dict[str, Any]:  # Any: as above
    return dict(zip(WRITES, (chosen, rejected, *chars), strict=True))


EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    (_row("Hi", "Hello", "xyz"), _row("Name a bird.", "XYZ ", "Wren"), _row("hi", "Go", "xyz")),
    (_told(1, 2, (5, 3)), _told(2, 1, (4, 4)), _told(1, 2, (2, 3))),
)
