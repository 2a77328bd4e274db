"""Verified: does the recording play again exactly as it was recorded, with the winner that the row claims?

What     Every command is simulated again; the engine's state hash at the end, the length and the winner must be the
         recorded ones. Problems, in the order of checking: no_recording, damaged (not readable), differs (another game
         comes out), winner (the row names somebody else)
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train -> evaluate -> report
Limits   A real replay has no recording of ours; it reads no_recording and can only be kept where nobody asks for this.
Shapes   N games
"""

from dataclasses import dataclass

import polars as pl

from skyloom.arena import recording
from skyloom.core.ledger.annotate import AnnotatorConfig

KIND = "map"
READS: tuple[str, ...] = ("recording", "winner")
WRITES: dict[str, pl.DataType] = {"verified.exact": pl.Boolean(), "verified.problem": pl.String()}
EXAMPLE: tuple[tuple[dict[str, object], ...], tuple[dict[str, object], ...]] = (
    ({"recording": b"", "winner": 1}, {"recording": b"not a recording", "winner": 1}),
    (
        {"verified.exact": False, "verified.problem": "no_recording"},
        {"verified.exact": False, "verified.problem": "damaged"},
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """Nothing to set."""


def annotate(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Re-simulate every game."""
    del config
    problems = [_problem(data, winner) for data, winner in rows_N.select("recording", "winner").iter_rows()]
    column = pl.Series("verified.problem", problems, dtype=pl.String)
    return pl.DataFrame({"verified.exact": column.is_null(), "verified.problem": column})


def _problem(data: bytes, winner: int) -> str | None:
    if not data:
        return "no_recording"
    try:
        found = recording.from_bytes(data)
    except recording.BadRecording:
        return "damaged"
    try:
        recording.replay(found)
    except recording.BadRecording:
        return "differs"
    return None if found.winner == winner else "winner"
