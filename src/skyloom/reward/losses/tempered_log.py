"""Tempered log: Bradley-Terry whose loss is bounded, so that it gives up on pairs which look mislabelled.

Formula  mean over b of -(sigmoid(gap_b)^(1 - t) - 1) / (1 - t), 0 <= t <= 1; t -> 1 is Bradley-Terry, t = 0 is 1 - sigmoid(gap_b)
Source   Amid et al. 2019 (tempered logarithm); Zhang & Sabuncu 2018 (generalised cross-entropy, q = 1 - t); RewardBench 92.9 in
         Skywork-Reward (arXiv 2410.18451), which states no t
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   At most 1 / (1 - t) a pair: the slope of a very wrong pair vanishes, whether its label is wrong or the pair is hard.
Run      skyloom run skywork_reward --set train.loss=tempered_log --set train.loss.t=0.8
Shapes   B preference pairs
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyloom.reward.losses._pairs import PairLossConfig, pair_loss, require

if TYPE_CHECKING:  # recipes and plans read Config without torch
    from torch import Tensor

    from skyloom.core.losses import LossOut
    from skyloom.reward.losses._pairs import PairScores


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PairLossConfig):
    """The temperature of the logarithm."""

    t: float = 0.8
    """0 (mean absolute error of the probability) to 1 (Bradley-Terry); ours, Skywork-Reward states none."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        PairLossConfig.__post_init__(self)
        # Above 1 the loss grows like exp((t - 1) |gap|) and overflows.
        require(self, "t", 0 <= self.t <= 1, "within 0 and 1")


def loss(pairs: PairScores, config: Config) -> LossOut:
    """Weighted mean over the pairs; metrics as in `pair_loss`."""
    from torch.nn.functional import logsigmoid

    def tempered(chosen_B: Tensor, rejected_B: Tensor, margin_B: Tensor) -> Tensor:
        log_p_B = logsigmoid(chosen_B - rejected_B - margin_B)
        power = 1 - config.t
        # expm1 keeps its digits where the power is near 1: as t -> 1 and for pairs that are right.
        return -(power * log_p_B).expm1() / power if power else -log_p_B

    return pair_loss(pairs, config, tempered)
