"""Mix: keep the shares of sources or categories that are asked for, and as many rows as these shares allow.

Formula  a group of share s keeps ceil(s * T) rows; T = min over groups of (living rows / s), or `total`. Rounding up is what makes
         mixing a second time drop nothing
Source   ours; Skywork-Reward's own mix is what its rules left over, half of its Magpie part is math (arXiv 2410.18451, table)
Flow     collect -> [curate: annotate -> DECIDE -> materialise] -> train
Run      skyloom run skywork_reward --set curate.mix.total=40000
Shapes   N rows of the ledger, G groups
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import DeciderConfig
from skyloom.core.ledger.select import best_of_groups, codes_of
from skyloom.core.rng import derive


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    """What of what, and which rows of it."""

    shares: dict[str, float] = field(default_factory=dict[str, float])
    """Group -> its share of what is kept; any positive numbers, they are divided by their sum."""
    by: Literal["source", "category"] = "source"
    """What a group is."""
    total: int = 0
    """Rows kept in all, up to one a group more by rounding; 0 keeps the most that the shares allow."""
    others: Literal["refuse", "drop", "keep"] = "refuse"
    """Living rows of groups that have no share: an error, dropped, or kept outside the mix."""
    pick: Literal["score", "draw"] = "score"
    """Which rows of a group: the highest mean scores (without a score last, equal ones by row order), or a draw by row key."""
    seed: int = 0
    """Of the draw."""


def reads(config: Config) -> tuple[str, ...]:
    """Columns of reward/annotate/scores.py, as far as they are needed."""
    category = ("scores.category",) if config.by == "category" else ()
    return ("row", *category, *(("scores.mean",) if config.pick == "score" else ()))


def decide(ledger_N: pl.DataFrame, config: Config) -> pl.Series:
    """The reason for dropping each row; null keeps it. Raises BadInput for shares that cannot be met, naming the group."""
    alive_N = ledger_N["alive"].to_numpy()
    code_N, names = codes_of(ledger_N["scores.category" if config.by == "category" else "source"])
    counts = dict(zip(names, np.bincount(code_N[alive_N], minlength=len(names)).tolist(), strict=True))
    _check(config, counts)
    wanted = _allocation(config, counts)
    value_N = _drawn(ledger_N["row"], config.seed) if config.pick == "draw" else _scores(ledger_N["scores.mean"])

    def take(group: int, size: int) -> int:
        return wanted.get(names[group], size if config.others == "keep" else 0)

    over_N = alive_N & ~best_of_groups(code_N, value_N, alive_N, take)
    return ledger_N.select(pl.when(pl.Series(over_N)).then(pl.lit("over_mix")).alias("reason"))["reason"]


def _check(config: Config, counts: Mapping[str, int]) -> None:
    if not config.shares or not all(0 < share < math.inf for share in config.shares.values()):
        raise BadInput("mix: shares must name at least one group, each with a number above 0")
    if config.total < 0:
        raise BadInput(f"mix: total={config.total}; it must be at least 0")
    living = sorted(name for name, count in counts.items() if count)
    missing = [name for name in config.shares if not counts.get(name)]
    if missing:
        raise BadInput(f"mix: no rows of {config.by} {missing[0]!r} are left; left: {', '.join(living)}")
    unnamed = [name for name in living if name not in config.shares]
    if unnamed and config.others == "refuse":
        raise BadInput(f"mix: {config.by} {unnamed[0]!r} has no share; give it one, or set others to drop or keep")


def _allocation(config: Config, counts: Mapping[str, int]) -> dict[str, int]:
    """Rows of each named group."""
    whole = math.fsum(config.shares.values())
    shares = {name: config.shares[name] / whole for name in sorted(config.shares)}
    most, short = min((counts[name] / share, name) for name, share in shares.items())
    # 1e-9: 30 % of 10 rows are 3 rows, although 0.3 * 10 is a little more than 3 in floating point
    wanted = {name: math.ceil(share * (config.total or most) - 1e-9) for name, share in shares.items()}
    if any(wanted[name] > counts[name] for name in shares):
        raise BadInput(
            f"mix: total={config.total:,} asks for more than the {counts[short]:,} rows of {config.by} {short!r} allow: {int(most):,}"
        )
    return wanted


def _scores(score_N: pl.Series) -> Float[np.ndarray, " N"]:
    return score_N.cast(pl.Float64).fill_null(float("-inf")).to_numpy()


def _drawn(row_N: pl.Series, seed: int) -> Float[np.ndarray, " N"]:
    """A number in [0, 1) that depends on the row key and the seed alone (SplitMix64, Steele et al. 2014): rows that come or go
    change nobody else's."""
    mixed_N = row_N.cast(pl.Int64).to_numpy().astype(np.uint64) + np.uint64(derive(seed, "mix"))
    mixed_N = (mixed_N ^ (mixed_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed_N = (mixed_N ^ (mixed_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed_N ^ (mixed_N >> np.uint64(31))) >> np.uint64(11)) / 2.0**53


def _row(category: str, mean: float | None) -> dict[str, Any]:  # Any: column values
    return {"row": 0, "scores.category": category, "scores.mean": mean}


EXAMPLE_CONFIG: Config = Config(shares={"math": 2.0, "chat": 1.0}, by="category")
EXAMPLE: tuple[tuple[dict[str, Any], str | None], ...] = (  # Any: as above
    (_row("math", 0.2), None),
    (_row("math", 0.9), None),
    (_row("chat", 0.4), "over_mix"),
    (_row("chat", 0.6), None),
)
