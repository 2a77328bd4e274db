"""Drop a game in which one side hardly did anything: beating an absent player teaches nothing.

Flow    collect -> [curate: annotate -> DECIDE -> materialise] -> train -> evaluate -> report
Run     skyloom run scc --set curate.idle_side.min_apm=5
Shapes  N rows of the ledger
"""

from dataclasses import dataclass

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("game.least_apm",)  # written by starcraft/annotate/game.py
EXAMPLE: tuple[tuple[dict[str, object], str | None], ...] = (
    ({"game.least_apm": 0.5}, None),
    ({"game.least_apm": 0.2}, "idle_side"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How little is too little."""

    min_apm: float = 0.5
    """Fewest commands a minute that each side must give; ours."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    active = (pl.col("game.least_apm") >= config.min_apm).fill_null(value=False)
    return ledger_N.select(pl.when(~active).then(pl.lit("idle_side")).alias("reason"))["reason"]
