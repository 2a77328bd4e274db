"""Hinge: ask for a gap of one margin, and leave a pair alone once it has it.

Formula  mean over b of max(0, margin - (chosen_b - rejected_b))
Source   Herbrich et al. 2000 and Joachims 2002 (ranking SVM); RewardBench 93.3 in Skywork-Reward (arXiv 2410.18451), which states no
         margin
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   No gradient from pairs beyond the margin; gaps are no log-odds, so P(chosen better) needs a calibration afterwards.
Run      skyloom run skywork_reward --set train.loss=hinge --set train.loss.margin=1
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
    """The margin."""

    margin: float = 1.0
    """Gap that is asked for, reward units, 0 or more; 0 only with a `score_margin` (1 as in the SVM)."""

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
        lambda chosen_B, rejected_B, margin_B: (config.margin + margin_B - (chosen_B - rejected_B)).relu(),
    )
