"""Bradley-Terry with a temperature: the same order of replies, learned on another scale of reward.

Formula  mean over b of -log sigmoid((chosen_b - rejected_b) / T); T = 1 is Bradley-Terry
Source   Skywork-Reward (arXiv 2410.18451), which states no T; RewardBench 93.7 against 93.8 for Bradley-Terry from one run each
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   The head could learn T away: it acts through what the optimiser reaches, as a smaller step and gaps that are T times as wide.
Run      skyloom run skywork_reward --set train.loss=temperature --set train.loss.temperature=2
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
    """The scale."""

    temperature: float = 2.0
    """T, reward units in one logit, above 0 (ours; Skywork-Reward states none)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        PairLossConfig.__post_init__(self)
        require(self, "temperature", 0 < self.temperature < math.inf, "above 0")


def loss(pairs: PairScores, config: Config) -> LossOut:
    """Weighted mean over the pairs; metrics as in `pair_loss`."""
    from torch.nn.functional import logsigmoid

    return pair_loss(
        pairs,
        config,
        lambda chosen_B, rejected_B, margin_B: -logsigmoid((chosen_B - rejected_B - margin_B) / config.temperature),
    )
