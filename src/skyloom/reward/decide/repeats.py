"""Repeats: drop a pair with a side whose text stands under many different prompts.

Formula  drop where a side of at least `least_chars` characters stands under more than `most` prompts
Source   ours; what it is for: the null models of Zheng et al. 2024 (arXiv 2410.07137)
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      --set curate.repeats.most=10
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig

READS: tuple[str, ...] = (  # written by reward/annotate/repeats.py
    "repeats.chosen",
    "repeats.rejected",
    "repeats.chosen_chars",
    "repeats.rejected_chars",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """How often, and of what length."""

    most: int = 20
    """Prompts that one text may answer, at least 1 (ours)."""
    least_chars: int = 200
    """Shorter texts may repeat: a refusal or a yes (ours)."""


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Raises BadInput for a bound below 1."""
    if config.most < 1:
        raise BadInput(f"repeats: most={config.most}; it must be at least 1")
    chosen, rejected, chosen_chars, rejected_chars = (pl.col(name) for name in READS)
    many = ((chosen > config.most) & (chosen_chars >= config.least_chars)) | (
        (rejected > config.most) & (rejected_chars >= config.least_chars)
    )
    reason = (
        pl.when(~pl.col("alive"))
        .then(None)
        .when(chosen.is_null() | rejected.is_null())
        .then(pl.lit("unannotated"))
        .when(many)
        .then(pl.lit("repeated_response"))
    )
    return ledger_N.select(reason.alias("reason"))["reason"]


def _row(chosen: int | None, rejected: int, chosen_chars: int) -> dict[str, Any]:  # Any: column values
    return dict(zip(READS, (chosen, rejected, chosen_chars, 900), strict=True))


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(20, 1, 900), None),
    (_row(460, 1, 40), None),
    (_row(460, 1, 200), "repeated_response"),
    (_row(1, 21, 40), "repeated_response"),
    (_row(None, 1, 40), "unannotated"),
)
