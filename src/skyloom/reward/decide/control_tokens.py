"""Control tokens: repair a pair whose responses carry chat-control tokens, or drop it.

Repairing cuts a side before its first token (`mend` in reward/pipeline.py); a pair that no longer separates after the cut, or whose
prompt carries a token, is dropped.

Source   RM-R1 (arXiv 2505.02387, appendix F.2) drops the source; cutting keeps what was asked and answered
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.control_tokens.action=drop
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = ("control.prompt", "control.chosen", "control.rejected", "control.separates")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Repair or drop."""

    action: Literal["repair", "drop"] = "repair"
    """repair cuts the sides at their first control token; drop removes the pair."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Action and reason of each row."""
    prompt, chosen, rejected = (pl.col(name) > 0 for name in READS[:3])
    touched = chosen | rejected
    reason = (
        pl.when(pl.col("control.prompt").is_null())
        .then(pl.lit("unannotated"))
        .when(prompt)
        .then(pl.lit("control_token_in_prompt"))
        .when(touched & ~pl.col("control.separates"))
        .then(pl.lit("control_token_inseparable"))
        .when(touched)
        .then(pl.lit("control_token"))
    )
    action = (
        pl.when(pl.col("reason").is_null())
        .then(pl.lit("keep"))
        .when(pl.col("reason") == "control_token")
        .then(pl.lit(config.action))
        .otherwise(pl.lit("drop"))
    )
    return ledger_N.select(reason.alias("reason")).select(action.alias("action"), "reason")


def _row(prompt: int, chosen: int, rejected: int, separates: bool) -> dict[str, Any]:  # Any: column values
    return dict(zip(READS, (prompt, chosen, rejected, separates), strict=True))


EXAMPLE_CONFIG: Config = Config(action="drop")
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(0, 0, 0, True), None),
    (_row(0, 0, 2, True), "control_token"),
    (_row(0, 0, 2, False), "control_token_inseparable"),
    (_row(1, 0, 0, True), "control_token_in_prompt"),
)
