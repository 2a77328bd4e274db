"""Focal: Bradley-Terry that looks harder at the pairs which the model still gets wrong.

Formula  mean over b of -(1 - sigmoid(gap_b))^gamma * log sigmoid(gap_b); gamma = 0 is Bradley-Terry
Source   Lin et al. 2017 (focal loss); on reward gaps in Skywork-Reward (arXiv 2410.18451), RewardBench 93.6 against 93.8 for
         Bradley-Terry from one run each
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   Mislabelled pairs are the hardest ones: with noisy labels gamma > 0 learns the noise.
Run      skyloom run skywork_reward --set train.loss=focal --set train.loss.gamma=2
Shapes   B preference pairs
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyloom.reward.losses._pairs import PairLossConfig, pair_loss, require

if TYPE_CHECKING:  # recipes and plans read Config without torch
    from torch import Tensor

    from skyloom.core.losses import LossOut
    from skyloom.reward.losses._pairs import PairScores


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PairLossConfig):
    """The focus."""

    gamma: float = 2.0
    """Exponent, 0 (Bradley-Terry) or more (2 as in Lin et al. 2017; Skywork-Reward states none)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        PairLossConfig.__post_init__(self)
        require(self, "gamma", 0 <= self.gamma < math.inf, "0 or more")


def loss(pairs: PairScores, config: Config) -> LossOut:
    """Weighted mean over the pairs; metrics as in `pair_loss`."""
    from torch.nn.functional import logsigmoid

    def focused(chosen_B: Tensor, rejected_B: Tensor, margin_B: Tensor) -> Tensor:
        gap_B = chosen_B - rejected_B - margin_B
        # log(1 - sigmoid(x)) = logsigmoid(-x): the power is taken in logs, so that no difference of near-equal numbers arises.
        return -(config.gamma * logsigmoid(-gap_B)).exp() * logsigmoid(gap_B)

    return pair_loss(pairs, config, focused)
