"""Bradley-Terry: teach the reward model to score the preferred reply higher.

Formula  mean over b of -log sigmoid(chosen_b - rejected_b - margin); _pairs.py says what labels, weights and score gaps change
Source   Bradley & Terry 1952; as a reward-model loss, Ouyang et al. 2022, eq. 1; RewardBench 93.8 in Skywork-Reward (arXiv 2410.18451)
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   Only gaps are learned: adding a constant to every score changes nothing. `centre` fixes the constant.
Run      skyloom run skywork_reward --set train.loss.margin=0.5
Shapes   B preference pairs
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyloom.reward.losses._pairs import PairLossConfig, pair_loss

if TYPE_CHECKING:  # recipes and plans read Config without torch
    from skyloom.core.losses import LossOut
    from skyloom.reward.losses._pairs import PairScores


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PairLossConfig):
    """One constant."""

    margin: float = 0.0
    """Gap at which the loss falls to log 2, in reward units (Llama 2, eq. 2, as one constant)."""


def loss(pairs: PairScores, config: Config) -> LossOut:
    """Weighted mean over the pairs; metrics as in `pair_loss`."""
    from torch.nn.functional import logsigmoid

    return pair_loss(
        pairs,
        config,
        lambda chosen_B, rejected_B, margin_B: -logsigmoid(chosen_B - rejected_B - margin_B - config.margin),
    )
