"""Contamination: drop a pair that shares enough words in a row with a benchmark prompt.

Formula  drop where the longest match of a part has at least min_words words; the prompt's reason goes before the responses'
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.contamination.min_words=13
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("contamination.prompt", "contamination.chosen", "contamination.rejected")
SWEEPS: dict[str, tuple[int, ...]] = {"min_words": tuple(range(7, 14))}
"""Values that sensitivity tries: the range of Skywork-Reward's script; below the index's own n nothing changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How long a match must be, and where."""

    min_words: int = 1
    """Shortest match that counts, in words; the index's own n is the floor, so 1 takes every hit of the index."""
    responses: bool = True
    """Whether a match inside a response counts too."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    prompt, chosen, rejected = (pl.col(name) >= config.min_words for name in READS)
    reason = (
        pl.when(pl.col("contamination.prompt").is_null())  # neither clean nor hit: would be kept unseen
        .then(pl.lit("unannotated"))
        .when(prompt)
        .then(pl.lit("contaminated_prompt"))
        .when(pl.lit(config.responses) & (chosen | rejected))
        .then(pl.lit("contaminated_response"))
    )
    return ledger_N.select(reason.alias("reason"))["reason"]


def _row(prompt: int | None, chosen: int, rejected: int) -> dict[str, Any]:  # Any: column values
    return dict(zip(READS, (prompt, chosen, rejected), strict=True))


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(0, 0, 0), None),
    (_row(9, 0, 8), "contaminated_prompt"),
    (_row(0, 0, 8), "contaminated_response"),
    (_row(None, 0, 0), "unannotated"),
)
