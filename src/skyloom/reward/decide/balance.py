"""Balance: in each group, let neither side be the longer one (or the one with more markdown) in more than a stated share of pairs.

Formula  of the pairs of a group whose sides differ, M have the commoner direction and m the other; M / (M + m) may be `max_share` at
         most, so floor(m * max_share / (1 - max_share)) of the M stay: those whose sides differ least, by
         |log((chosen + 1) / (rejected + 1))|, equal ones by row order; weigh gives all M one weight instead, to the same share
Source   ours; a reward model must not learn that longer is better: RewardBench's alpacaeval-easy is won by length alone
         (allenai/reward-bench issue 267)
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.balance.max_share=0.55
Limits   a group whose sides all differ the same way loses all its differing pairs: there is nothing to balance them with
Shapes   N rows of the ledger, G groups
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.ledger.select import best_of_groups, codes_of

COLUMNS: dict[str, tuple[str, str]] = {
    "length": ("length.chosen_words", "length.rejected_words"),  # written by reward/annotate/length.py
    "markdown": ("style.markdown_chosen", "style.markdown_rejected"),  # written by reward/annotate/style.py
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What is balanced, where, and how."""

    feature: Literal["length", "markdown"] = "length"
    by: Literal["source", "category"] = "source"
    """What a group is."""
    max_share: float = 0.55
    """Largest share of a group's differing pairs that may have one direction, 0.5 to below 1; ours."""
    least: int = 20
    """Groups with fewer differing pairs are left alone: their share says nothing. Ours."""
    action: Literal["drop", "weigh"] = "drop"


def reads(config: Config) -> tuple[str, ...]:
    """The columns of the feature, and of the group."""
    return (*COLUMNS[config.feature], *(("scores.category",) if config.by == "category" else ()))


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Action, reason and weight of each row. Raises BadInput for a share outside [0.5, 1)."""
    if not 0.5 <= config.max_share < 1:
        raise BadInput(f"balance: max_share={config.max_share}; it must be at least 0.5 and below 1")
    chosen, rejected = (ledger_N[name] for name in COLUMNS[config.feature])
    alive_N = ledger_N["alive"].to_numpy()
    unknown_N = alive_N & (chosen.is_null() | rejected.is_null()).to_numpy()
    # Rounded, so that 8 to 4 and 4 to 2 are equally far apart.
    gap_N = np.round(np.log1p(chosen.fill_null(0).to_numpy()) - np.log1p(rejected.fill_null(0).to_numpy()), 12)
    differs_N = alive_N & ~unknown_N & (gap_N != 0)
    code_N, names = codes_of(ledger_N["scores.category" if config.by == "category" else "source"])
    more_G, less_G = (np.bincount(code_N[differs_N & way], minlength=len(names)) for way in (gap_N > 0, gap_N < 0))
    minor_G = np.minimum(more_G, less_G)
    judged_G = more_G + less_G >= config.least
    # 1e-9: a share of 0.6 beside 20 allows 30, although 20 * 0.6 / 0.4 is a little less in floating point
    allowed_G = minor_G * (config.max_share / (1 - config.max_share))
    over_G = judged_G & (np.maximum(more_G, less_G) > allowed_G + 1e-9)
    major_N = differs_N & over_G[code_N] & ((gap_N > 0) == (more_G > less_G)[code_N])
    weight_N = np.ones(len(gap_N))
    if config.action == "drop":
        stays_N = best_of_groups(code_N, -np.abs(gap_N), major_N, lambda group, _size: int(allowed_G[group] + 1e-9))
        touched_N = dropped_N = major_N & ~stays_N
    else:
        weight_N[major_N] = (allowed_G / np.maximum(1, np.maximum(more_G, less_G)))[code_N[major_N]]
        touched_N, dropped_N = major_N, weight_N == 0
    reason = pl.when(pl.Series(unknown_N)).then(pl.lit("unannotated")).when(pl.Series(touched_N))
    action = pl.when(pl.Series(unknown_N | dropped_N)).then(pl.lit("drop")).otherwise(pl.lit("keep"))
    return ledger_N.select(
        action.alias("action"),
        reason.then(pl.lit(f"unbalanced_{config.feature}")).alias("reason"),
        pl.Series("weight", weight_N),
    )


def _row(chosen: int | None, rejected: int) -> dict[str, Any]:  # Any: column values
    return dict(zip(COLUMNS["length"], (chosen, rejected), strict=True))


EXAMPLE_CONFIG: Config = Config(max_share=0.5, least=2)
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row(90, 10), "unbalanced_length"),
    (_row(12, 10), None),
    (_row(10, 40), None),
    (_row(10, 10), None),
    (_row(None, 10), "unannotated"),
)
