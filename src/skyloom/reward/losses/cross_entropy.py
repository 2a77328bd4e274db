"""Cross-entropy, pointwise: each reply alone is good or bad, and its score is the log-odds of good.

Formula  mean over b of -(log sigmoid(chosen_b) + log(1 - sigmoid(rejected_b)))
Source   Logistic regression; RewardBench 87.6 in Skywork-Reward (arXiv 2410.18451), last of eight but first on Safety
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   The better of two bad replies is called good. The zero of the scores is learned, so centring is seldom needed. Sides are not
         compared, so a margin has no meaning: `score_margin` must stay 0.
Run      skyloom run skywork_reward --set train.loss=cross_entropy
Shapes   B preference pairs
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyloom.reward.losses._pairs import PairLossConfig, pair_loss, require

if TYPE_CHECKING:  # recipes and plans read Config without torch
    from skyloom.core.losses import LossOut
    from skyloom.reward.losses._pairs import PairScores


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PairLossConfig):
    """Nothing beyond what every loss of pairs has."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        PairLossConfig.__post_init__(self)
        require(self, "score_margin", self.score_margin == 0, "0: this loss scores each side alone and has no margin")


def loss(pairs: PairScores, config: Config) -> LossOut:
    """Weighted mean over the pairs; metrics as in `pair_loss`."""
    from torch.nn.functional import logsigmoid

    return pair_loss(pairs, config, lambda chosen_B, rejected_B, _: -(logsigmoid(chosen_B) + logsigmoid(-rejected_B)))
