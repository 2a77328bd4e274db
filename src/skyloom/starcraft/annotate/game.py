"""Game facts: length, winner, how much each side did, the weakest rating.

Formula  commands a minute = commands / (loops / 22.4 / 60); the least active side decides whether somebody stood idle
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train -> evaluate -> report
Run      skyloom why arena_games:0:0
Shapes   N games
"""

from dataclasses import dataclass

import polars as pl

from skyloom.arena.spec import LOOPS_PER_SECOND
from skyloom.core.ledger.annotate import AnnotatorConfig

KIND = "map"
READS: tuple[str, ...] = ("loops", "winner", "sides")
WRITES: dict[str, pl.DataType] = {
    "game.loops": pl.Int64(),
    "game.seconds": pl.Float64(),
    "game.winner": pl.Int64(),
    "game.least_apm": pl.Float64(),
    "game.winner_apm": pl.Float64(),
    "game.least_mmr": pl.Int64(),
}

_SIDE = {"name": "a", "race": "Terran", "kind": "bot", "result": "win", "built": []}
EXAMPLE: tuple[tuple[dict[str, object], ...], tuple[dict[str, object], ...]] = (
    (
        {
            "loops": 1344,
            "winner": 2,
            "sides": [{**_SIDE, "mmr": 4000, "commands": 30}, {**_SIDE, "mmr": 5000, "commands": 90}],
        },
        {
            "loops": 2688,
            "winner": 0,
            "sides": [{**_SIDE, "mmr": None, "commands": 0}, {**_SIDE, "mmr": None, "commands": 8}],
        },
    ),
    (
        {
            "game.loops": 1344,
            "game.seconds": 60.0,
            "game.winner": 2,
            "game.least_apm": 30.0,
            "game.winner_apm": 90.0,
            "game.least_mmr": 4000,
        },
        {
            "game.loops": 2688,
            "game.seconds": 120.0,
            "game.winner": 0,
            "game.least_apm": 0.0,
            "game.winner_apm": None,
            "game.least_mmr": None,
        },
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """One row of facts a game; the winner's pace is null where nobody won alone."""
    del config
    seconds = (pl.col("loops") / LOOPS_PER_SECOND).round(3)
    commands = pl.col("sides").list.eval(pl.element().struct.field("commands"))
    ratings = pl.col("sides").list.eval(pl.element().struct.field("mmr"))
    of_winner = pl.when(pl.col("winner") > 0).then(commands.list.get(pl.col("winner") - 1, null_on_oob=True))
    return rows_N.select(
        pl.col("loops").alias("game.loops"),
        seconds.alias("game.seconds"),
        pl.col("winner").alias("game.winner"),
        (commands.list.min() * 60 / seconds).round(3).alias("game.least_apm"),
        (of_winner * 60 / seconds).round(3).alias("game.winner_apm"),
        ratings.list.min().cast(pl.Int64).alias("game.least_mmr"),
    )
