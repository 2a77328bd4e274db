"""Core set: in which order greedy k-center picks the rows by their questions, and how far each row is from the picks.

Formula  rank = order of pick, from 0; distance = to the nearest earlier pick for a pick, to the nearest pick for the others
Source   Skywork-Math (arXiv 2407.08348, section 3.2) after Sener & Savarese 2018 (1708.00489); embedding, distance and k are not stated
         in the paper: ours
Flow     collect -> synthesize -> [select: ANNOTATE -> decide/core_set] -> synthesize again; a fit over the rows still alive
Run      skyloom run skywork_math
Limits   It likes outliers, broken questions among them: put it behind the deciders that drop those
Shapes   N rows
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.text import embed
from skyloom.core.text.embed import EmbedConfig
from skyloom.core.text.kcenter import k_center, nearest

KIND: str = "fit"
VERSION: int = 1
READS: tuple[str, ...] = ("question",)
WRITES: dict[str, pl.DataType] = {
    "core_set.rank": pl.Int64(),  # null for rows that were not picked
    "core_set.distance": pl.Float64(),  # 0 to 2; null for the first pick
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """How many rows are picked, by which points."""

    embed: EmbedConfig = field(default_factory=EmbedConfig)
    """What turns questions into points."""
    k: int | None = None
    """Rows to pick, all where there are fewer; None: a share of them."""
    share: float = 0.5
    """Share of the living rows to pick where `k` is None, rounded up; above 0 and at most 1."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that pick nothing."""
        if self.k is not None and self.k < 1:
            raise ValueError(f"k={self.k} must be at least 1")
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} must be above 0 and at most 1")


def inputs(config: Config) -> tuple[Path, ...]:
    """The embedding model's folder."""
    return embed.inputs(config.embed)


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Rank and distance of each row."""
    point_ND = embed.embed(rows_N["question"].to_list(), config.embed)
    count: int = rows_N.height
    k: int = min(count, config.k) if config.k is not None else math.ceil(config.share * count - 1e-9)
    cover = k_center(point_ND, k)
    rank_N = np.full(count, -1, np.int64)
    rank_N[cover.pick_K] = np.arange(k)
    distance_N = np.full(count, np.inf, np.float32)
    distance_N[cover.pick_K] = cover.distance_K
    left_N = rank_N < 0
    if left_N.any():
        distance_N[left_N] = nearest(point_ND[left_N], point_ND[cover.pick_K])
    written = pl.DataFrame({"core_set.rank": rank_N, "core_set.distance": distance_N}, schema_overrides=WRITES)
    rank, distance = pl.col("core_set.rank"), pl.col("core_set.distance")
    return written.with_columns(pl.when(rank >= 0).then(rank), pl.when(distance.is_finite()).then(distance))


def _told(rank: int | None, distance: float | None) -> Mapping[str, Any]:  # Any: column values
    return {"core_set.rank": rank, "core_set.distance": distance}


EXAMPLE_CONFIG: Config = Config(k=2)
EXAMPLE: tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, Any], ...]] = (  # Any: as above
    (
        {"question": "Solve x + 3 = 7 for x."},
        {"question": "Solve x + 50 = 81 for x."},
        {"question": "What is the area of a circle of radius 2?"},
    ),
    (_told(0, None), _told(None, 0.0), _told(1, 1.3271540403366089)),
)
