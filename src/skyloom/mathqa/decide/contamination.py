"""Contamination: drop a row that, itself or through its seed, shows a benchmark item.

Formula  drop when one of `layers` hit, with the surest of them as reason, or when the row was never looked at
Source   Skywork-Math drops every row with a 30-gram hit (arXiv 2407.08348, section 4): layers = ngram alone; the default is ours
Flow     collect -> synthesize -> [curate: annotate -> DECIDE] -> train -> evaluate -> report
Run      skyloom run skywork_math --set 'curate.contamination.layers=["ngram"]'
Limits   `masked` drops what differs from an item in its numbers alone: right where the benchmark is a fixed list of problems, wrong where
         training and test problems come from the same templates on purpose, as in the world
Shapes   N rows of the ledger
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.text.items import LAYERS, Layer

VERSION: int = 2
READS: tuple[str, ...] = ("contamination.hits", *(f"contamination.{layer}" for layer in LAYERS))
REASONS: tuple[str, ...] = tuple(f"contaminated_{layer}" for layer in LAYERS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Which hits drop a row."""

    layers: tuple[Layer, ...] = LAYERS
    """Layers that drop; what the others find stands in the columns all the same."""

    def __post_init__(self) -> None:
        """Raise ValueError for a layer that there is not."""
        unknown = [layer for layer in self.layers if layer not in LAYERS]
        if unknown:
            raise ValueError(f"layers: {unknown[0]!r} is none of {', '.join(LAYERS)}")


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it."""
    hits: list[pl.Expr] = [
        pl.when(pl.col(f"contamination.{layer}").list.len() > 0).then(pl.lit(reason))
        for layer, reason in zip(LAYERS, REASONS, strict=True)
        if layer in config.layers
    ]
    unchecked: pl.Expr = pl.when(pl.col("contamination.hits").is_null()).then(pl.lit("unchecked"))
    return ledger_N.select(pl.coalesce(unchecked, *hits).alias("reason"))["reason"]


def _row(**hit: list[str]) -> dict[str, Any]:  # Any: column values
    lists: dict[str, list[str]] = {layer: hit.get(layer, []) for layer in LAYERS}
    count: int = len({item for items in lists.values() for item in items})
    return {"contamination.hits": count, **{f"contamination.{layer}": items for layer, items in lists.items()}}


EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(), None),
    (_row(ngram=["math/7"], masked=["math/7", "math/9"]), "contaminated_ngram"),
    (_row(whole=["math/7"]), "contaminated_whole"),
    (_row(masked=["math/7"]), "contaminated_masked"),
    (dict.fromkeys(READS), "unchecked"),
)
