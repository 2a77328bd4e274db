"""Length: drop pairs whose sides differ too much in length, or that are too long to be used.

Formula  ratio = longer / shorter side in words; drop where ratio > max_ratio, or where prompt + a side > max_words
Source   ours: a reward model must not learn that longer is better; RewardBench's alpacaeval-easy is won by length alone
         (allenai/reward-bench issue 267)
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.length.max_ratio=4
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("length.prompt_words", "length.chosen_words", "length.rejected_words")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """The bounds; 0 switches one off."""

    max_ratio: float = 0.0
    """Largest ratio of the longer to the shorter side, in words, that is kept; ours."""
    max_words: int = 0
    """Most words of the prompt and its longer side together; ours."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    prompt, chosen, rejected = (pl.col(name) for name in READS)
    longer, shorter = pl.max_horizontal(chosen, rejected), pl.min_horizontal(chosen, rejected)
    reason = (
        pl.when(chosen.is_null() | rejected.is_null() | prompt.is_null())
        .then(pl.lit("unannotated"))
        .when((pl.lit(config.max_words) > 0) & (prompt + longer > config.max_words))
        .then(pl.lit("too_long"))
        .when((pl.lit(config.max_ratio) > 0) & (longer > config.max_ratio * shorter))
        .then(pl.lit("length_ratio"))
    )
    return ledger_N.select(reason.alias("reason"))["reason"]


def _row(prompt: int | None, chosen: int, rejected: int) -> dict[str, Any]:  # Any: column values
    return dict(zip(READS, (prompt, chosen, rejected), strict=True))


EXAMPLE_CONFIG: Config = Config(max_ratio=3.0, max_words=100)
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(10, 30, 10), None),
    (_row(10, 31, 10), "length_ratio"),
    (_row(10, 10, 31), "length_ratio"),
    (_row(60, 41, 40), "too_long"),
    (_row(None, 4, 4), "unannotated"),
)
