"""Drop a game whose recording does not play again exactly as it was recorded.

What    The reason is the annotator's problem: no_recording, damaged, differs or winner; `unannotated` where it said
        nothing.
Flow    collect -> [curate: annotate -> DECIDE -> materialise] -> train -> evaluate -> report
Shapes  N rows of the ledger
"""

from dataclasses import dataclass

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("verified.exact", "verified.problem")  # written by starcraft/annotate/verified.py
EXAMPLE: tuple[tuple[dict[str, object], str | None], ...] = (
    ({"verified.exact": True, "verified.problem": None}, None),
    ({"verified.exact": False, "verified.problem": "differs"}, "differs"),
    ({"verified.exact": None, "verified.problem": None}, "unannotated"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Nothing to set."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    del config
    reason = pl.col("verified.problem").fill_null("unannotated")
    exact = pl.col("verified.exact").fill_null(value=False)
    return ledger_N.select(pl.when(~exact).then(reason).alias("reason"))["reason"]
