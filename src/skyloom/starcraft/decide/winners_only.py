"""Drop a game that nobody won alone: imitation learns what winners did.

Source  SCC fine-tunes on the winners' side of its best games (arXiv 2012.13169, section 5).
Flow    collect -> [curate: annotate -> DECIDE -> materialise] -> train -> evaluate -> report
Shapes  N rows of the ledger
"""

from dataclasses import dataclass

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("game.winner",)  # written by starcraft/annotate/game.py
EXAMPLE: tuple[tuple[dict[str, object], str | None], ...] = (
    ({"game.winner": 2}, None),
    ({"game.winner": 0}, "no_winner"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Nothing to set."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    del config
    won = (pl.col("game.winner") > 0).fill_null(value=False)
    return ledger_N.select(pl.when(~won).then(pl.lit("no_winner")).alias("reason"))["reason"]
