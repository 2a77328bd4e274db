"""Shortcuts: stop, drop or report a source whose chosen side can be told by its surface.

Formula  a source counts where one of its living rows carries the annotator's alarm
Source   ours; RM-R1 (arXiv 2505.02387, appendix F.2) found out too late that <im_start> gave away 30 % of a published set
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.shortcuts.action=drop
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = (
    "shortcuts.alarm",
    "shortcuts.feature",
    "shortcuts.evidence",
)  # written by reward/annotate/shortcuts.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What an alarm does."""

    action: Literal["stop", "drop", "keep"] = "stop"
    """stop ends the run with the evidence, so that a person decides; drop removes the source's rows; keep only says so."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Action and reason of each row. Raises BadInput for an alarm under `stop`, naming source, feature, counts and remedy."""
    alarmed = pl.col("alive") & pl.col("shortcuts.alarm")
    if config.action == "stop":
        told = ledger_N.filter(alarmed).select(pl.col("source").cast(pl.String), *READS[1:]).unique().sort("source")
        if told.height:
            raise BadInput("; ".join(_complaint(*row) for row in told.iter_rows()) + _remedy(told["source"].to_list()))
    reason = (
        pl.when(pl.col("alive") & pl.col("shortcuts.alarm").is_null())
        .then(pl.lit("unannotated"))
        .when(alarmed)
        .then(pl.lit("shortcut"))
    )
    dropped = (pl.col("reason") == "unannotated") | (pl.lit(config.action == "drop") & pl.col("reason").is_not_null())
    action = pl.when(dropped).then(pl.lit("drop")).otherwise(pl.lit("keep"))
    return ledger_N.select(reason.alias("reason")).select(action.alias("action"), "reason")


def _complaint(source: str, feature: str, evidence: str) -> str:
    return f"source {source}: its chosen side can be told from the rejected one without reading, by {feature!r}: {evidence}"


def _remedy(sources: list[str]) -> str:
    return (
        f"; repair the pairs (control_tokens, then shortcuts with repaired=true), or set shortcuts.action to drop or keep for "
        f"{', '.join(sources)}"
    )


def _row(alarm: bool | None, feature: str | None, source: str) -> dict[str, Any]:  # Any: column values
    return {**dict(zip(READS, (alarm, feature, "..."), strict=True)), "source": source}


EXAMPLE_CONFIG: Config = Config(action="drop")
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(False, None, "helpsteer2"), None),
    (_row(True, "<im_start>", "magpie_ultra"), "shortcut"),
    (_row(None, None, "rmb"), "unannotated"),
)
