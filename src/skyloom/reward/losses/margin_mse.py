"""Margin MSE: the gap should equal a number, instead of being as large as possible.

Formula  mean over b of (chosen_b - (rejected_b + margin))^2; with score_margin = k the target is margin + k * the source's score gap
Source   Hofstätter et al. 2020 (arXiv 2010.02666), where a teacher's gap is the target; RewardBench 92.3 in Skywork-Reward (arXiv
         2410.18451), which states no margin
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   Not falling in the gap: a pair that is right by more than the target is pulled back.
Run      skyloom run skywork_reward --set train.loss=margin_mse --set train.loss.margin=1
Shapes   B preference pairs
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyloom.reward.losses._pairs import PairLossConfig, pair_loss, require

if TYPE_CHECKING:  # recipes and plans read Config without torch
    from skyloom.core.losses import LossOut
    from skyloom.reward.losses._pairs import PairScores


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PairLossConfig):
    """The target."""

    margin: float = 1.0
    """Gap of every pair, reward units, 0 or more; 0 only with a `score_margin` (1 is ours; Skywork-Reward states none)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        PairLossConfig.__post_init__(self)
        require(self, "margin", 0 <= self.margin < math.inf, "0 or more")
        # Equal scores for all replies would be a perfect answer.
        require(self, "margin", self.margin > 0 or self.score_margin > 0, "above 0, or score_margin must be")


def loss(pairs: PairScores, config: Config) -> LossOut:
    """Weighted mean over the pairs; metrics as in `pair_loss`."""
    return pair_loss(
        pairs,
        config,
        lambda chosen_B, rejected_B, margin_B: (chosen_B - (rejected_B + config.margin + margin_B)).square(),
    )
