"""Drop a game that is too short to show how to play.

Flow    collect -> [curate: annotate -> DECIDE -> materialise] -> train -> evaluate -> report
Run     skyloom run scc --set curate.short_games.min_seconds=120
Shapes  N rows of the ledger
"""

from dataclasses import dataclass

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("game.seconds",)  # written by starcraft/annotate/game.py
EXAMPLE: tuple[tuple[dict[str, object], str | None], ...] = (
    ({"game.seconds": 60.0}, None),
    ({"game.seconds": 59.9}, "too_short"),
    ({"game.seconds": None}, "too_short"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How short is too short."""

    min_seconds: float = 60.0
    """Shortest game that is kept, in seconds at speed "faster"; ours."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    long_enough = (pl.col("game.seconds") >= config.min_seconds).fill_null(value=False)
    return ledger_N.select(pl.when(~long_enough).then(pl.lit("too_short")).alias("reason"))["reason"]
