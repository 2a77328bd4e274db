"""WildGuardMix in two stages: only adversarial pairs, and of these only what an unseen judge agrees with.

Formula  drop where the category is vanilla_*; then drop unless r(chosen) > r(rejected): a tie is no agreement
Source   Skywork-Reward (arXiv 2410.18451): an early reward model ranks the other pairs right anyhow; all adversarial pairs help
         Safety and hurt the rest, the agreeing ones do not. The judge must not have learnt from this source: agreement.transfer
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      --set curate.wildguard.agreeing_only=false
Limits   What a judge believes already is kept (confirmation bias): decide/agreement.py looks at the doubt instead.
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

CATEGORY, MARGIN = "scores.category", "agreement.margin"  # written by reward/annotate/scores.py and agreement.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Which stages run; both are the paper's."""

    sources: tuple[str, ...] = ("wildguardmix",)
    adversarial_only: bool = True
    """Stage 1."""
    agreeing_only: bool = True
    """Stage 2; rows without a margin are dropped as `unjudged`."""


def reads(config: Config) -> tuple[str, ...]:
    """Stage 2 alone needs a judge."""
    return (CATEGORY, MARGIN) if config.agreeing_only else (CATEGORY,)


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    category = pl.col(CATEGORY).cast(pl.String).fill_null("")
    adversarial = category.str.starts_with("adversarial_")
    reason = pl.when(~pl.col("alive")).then(None)
    if config.adversarial_only:
        vanilla = category.str.starts_with("vanilla_")
        reason = reason.when(vanilla).then(pl.lit("not_adversarial"))
        reason = reason.when(~adversarial).then(pl.lit("unknown_category"))
    if config.agreeing_only:
        reason = reason.when(pl.col(MARGIN).is_null()).then(pl.lit("unjudged"))
        reason = reason.when(pl.col(MARGIN) <= 0).then(pl.lit("model_disagrees"))
    return ledger_N.select(reason.otherwise(None).cast(pl.String).alias("reason"))["reason"]


def _row(category: str, margin: float | None) -> dict[str, Any]:  # Any: column values
    return {CATEGORY: category, MARGIN: margin}


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row("adversarial_harmful", 0.5), None),
    (_row("adversarial_benign", -0.5), "model_disagrees"),
    (_row("vanilla_harmful", 0.5), "not_adversarial"),
    (_row("adversarial_harmful", None), "unjudged"),
)
