"""Focal with a penalty: Bradley-Terry that looks away from pairs which are already right, and never from wrong ones.

Formula  mean over b of -(1 - 2 max(sigmoid(gap_b) - 1/2, 0))^gamma * log sigmoid(gap_b); gamma = 0 is Bradley-Terry
Source   Cai et al. 2024 (InternLM2, arXiv 2403.17297), gamma 2; in Skywork-Reward (arXiv 2410.18451) RewardBench 93.4 against 93.8
         for Bradley-Terry from one run each
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   InternLM2's second term, a log barrier that keeps scores within -5 and 5, is left out, as in Skywork-Reward; see `centre`.
Run      skyloom run skywork_reward --set train.loss=focal_penalty --set train.loss.gamma=2
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
    """Exponent, 0 (Bradley-Terry) or more (2 as in InternLM2)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        PairLossConfig.__post_init__(self)
        require(self, "gamma", 0 <= self.gamma < math.inf, "0 or more")


def loss(pairs: PairScores, config: Config) -> LossOut:
    """Weighted mean over the pairs; metrics as in `pair_loss`."""
    from torch.nn.functional import logsigmoid

    def focused(chosen_B: Tensor, rejected_B: Tensor, margin_B: Tensor) -> Tensor:
        gap_B = chosen_B - rejected_B - margin_B
        # The base of the power is min(1, 2 sigmoid(-gap)). In logs its slope has no 0^(gamma - 1), which is infinite for gamma < 1.
        log_focus_B = (logsigmoid(-gap_B) + math.log(2)).clamp(max=0)
        return -(config.gamma * log_focus_B).exp() * logsigmoid(gap_B)

    return pair_loss(pairs, config, focused)
