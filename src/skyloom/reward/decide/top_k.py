"""Top k per category: keep the best-scored share of each category, after taking each origin's offset out of the scores.

Formula  adjusted = mean score + offset of the origin (set by hand, learnt, or both); in each category of n living, scored rows keep
         the ceil(share * n) highest; equal scores are ranked by row key
Source   Skywork-Reward (arXiv 2410.18451): 30 % of math and code, 10 % of every other Magpie category, offsets -0.1 and -0.05 for
         the two generators that its annotator overrated
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.top_k.share=0.3
Shapes   N rows of the ledger
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.ledger.select import best_of_groups, codes_of

SCORES: tuple[str, ...] = ("scores.category", "scores.origin", "scores.mean")  # written by reward/annotate/scores.py
LEARNT: str = "offsets.learnt"  # written by reward/annotate/offsets.py


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """Shares and offsets."""

    share: float = 0.1
    """Share of a category that is kept, above 0 and at most 1."""
    shares: dict[str, float] = field(default_factory=dict[str, float])
    """Other shares by category."""
    offsets: dict[str, float] = field(default_factory=dict[str, float])
    """Added to the mean score, by origin, in score units; an origin that is not named gets 0."""
    learnt: bool = False
    """True adds the learnt offsets, too; an origin for which none could be learnt must then stand in `offsets`."""
    unscored: Literal["keep", "drop"] = "drop"
    """What happens to rows without a score."""


def reads(config: Config) -> tuple[str, ...]:
    """Learnt offsets are read only where they are asked for."""
    return (*SCORES, LEARNT) if config.learnt else SCORES


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Raises BadInput for a share outside (0, 1] and a missing offset."""
    for name, share in {"share": config.share, **config.shares}.items():
        if not 0 < share <= 1:
            raise BadInput(f"top_k: share of {name} is {share}; it must be above 0 and at most 1")
    ranked_N = (ledger_N["alive"] & ledger_N["scores.mean"].is_not_null()).to_numpy()
    origin_N, origins = codes_of(ledger_N["scores.origin"])
    offset_N = np.array([config.offsets.get(name, 0.0) for name in origins])[origin_N]
    adjusted_N = ledger_N["scores.mean"].fill_null(0.0).to_numpy() + offset_N
    if config.learnt:
        adjusted_N = adjusted_N + _learnt(ledger_N, ranked_N, config)
    category_N, categories = codes_of(ledger_N["scores.category"])
    shares = [config.shares.get(name, config.share) for name in categories]
    # 1e-9: 30 % of 10 rows are 3 rows, although 0.3 * 10 is a little more than 3 in floating point
    best_N = best_of_groups(
        category_N, adjusted_N, ranked_N, lambda group, size: math.ceil(shares[group] * size - 1e-9)
    )
    reason = (
        pl.when(~pl.col("alive") | pl.Series(best_N))
        .then(None)
        .when(pl.Series(ranked_N))
        .then(pl.lit("below_top_k"))
        .otherwise(pl.lit("unscored") if config.unscored == "drop" else None)
    )
    return ledger_N.select(reason.alias("reason"))["reason"]


def _learnt(ledger_N: pl.DataFrame, ranked_N: np.ndarray, config: Config) -> np.ndarray:
    """The learnt offset of each row, 0 where it is not ranked. A rank without its offset would favour the origin unseen."""
    missing = ledger_N.filter(pl.Series(ranked_N) & ledger_N[LEARNT].is_null())["scores.origin"].cast(pl.String)
    unknown = sorted(set(missing.fill_null("").unique()) - set(config.offsets))
    if unknown:
        raise BadInput(
            f"top_k: no offset could be learnt for origin {unknown[0]!r} (the column offsets.evidence says why); "
            "put it into top_k.offsets, or set top_k.learnt=false"
        )
    return ledger_N[LEARNT].fill_null(0.0).to_numpy()


def _row(category: str, origin: str, mean: float | None) -> dict[str, Any]:  # Any: column values
    return dict(zip(SCORES, (category, origin, mean), strict=True))


EXAMPLE_CONFIG: Config = Config(share=0.5, shares={"math": 1.0}, offsets={"amber": -0.3})
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row("chat", "birch", 0.5), None),
    (_row("chat", "amber", 0.7), "below_top_k"),
    (_row("math", "amber", 0.1), None),
    (_row("chat", "birch", None), "unscored"),
)
