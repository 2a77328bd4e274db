"""Agreement: what becomes of a pair whose label an unseen judge doubts: kept, weighed, softened, flipped or dropped.

Formula  p = P(label right): flip where p < flip_below, else drop where p < drop_below, else keep; a flipped pair has p' = 1 - p.
         weigh: weight = max(0, 2 p' - 1);  soften: label = p'.  For a loss that is linear in the label the two are the same
Source   flipping what every judge rejects: Skywork-Reward-V2 (arXiv 2507.01352); the weight: Natarajan et al. 2013, eq. 3
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      --set curate.agreement.drop_below=0.3
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("agreement.right",)  # written by reward/annotate/agreement.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Thresholds on P(label right), all ours."""

    drop_below: float = 0.5
    """0 to 1; 0 drops nothing. The default drops what is likelier wrong than right."""
    flip_below: float = 0.0
    """0 to 0.5; 0 flips nothing."""
    weigh: bool = False
    """Kept pairs get a weight."""
    soften: bool = False
    """Kept pairs get a soft label; not together with `weigh`, which would count the same doubt twice."""
    unjudged: Literal["keep", "drop"] = "keep"
    """What happens to rows without P(label right); they are named `unjudged` either way."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Action, reason, weight and label of each row. Raises BadInput for thresholds that make no sense."""
    rules = (
        (0 <= config.drop_below <= 1, f"drop_below is {config.drop_below}; it must lie between 0 and 1"),
        (0 <= config.flip_below <= 0.5, f"flip_below is {config.flip_below}; it must lie between 0 and 0.5"),
        (not (config.weigh and config.soften), "weigh and soften count the same doubt twice; set one of them"),
    )
    for holds, problem in rules:
        if not holds:
            raise BadInput(f"agreement: {problem}")
    alive, right = pl.col("alive"), pl.col("agreement.right")
    flip = right < config.flip_below
    after = pl.when(flip).then(1 - right).otherwise(right)
    reason = (
        pl.when(~alive)
        .then(None)
        .when(right.is_null())
        .then(pl.lit("unjudged"))
        .when(flip)
        .then(pl.lit("flipped"))
        .when(right < config.drop_below)
        .then(pl.lit("disagrees"))
    )
    actions = {"flipped": "flip", "disagrees": "drop", "unjudged": config.unjudged}
    columns = [reason.alias("reason"), reason.replace_strict(actions, default="keep").alias("action")]
    if config.weigh:
        columns.append((2 * after - 1).clip(0, 1).alias("weight"))
    if config.soften:
        columns.append(after.alias("label"))
    return ledger_N.select(columns)


def _row(right: float | None) -> dict[str, Any]:  # Any: column values
    return {"agreement.right": right}


EXAMPLE_CONFIG: Config = Config(drop_below=0.5, flip_below=0.125)
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(0.875), None),
    (_row(0.25), "disagrees"),
    (_row(0.0625), "flipped"),
    (_row(None), "unjudged"),
)
