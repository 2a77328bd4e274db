"""Bradley-Terry: teach the reward model to score the preferred reply higher.

Formula  mean over b of -log sigmoid(chosen_b - rejected_b - margin)
Source   Bradley & Terry 1952; as a reward-model loss, Ouyang et al. 2022, eq. 1
Flow     collect -> curate -> [train] -> evaluate -> report; called once per micro-batch
Limits   Only gaps are learned: adding a constant to every score changes nothing.
Run      skyloom run skywork_reward --set train.loss.margin=0.5
Shapes   B preference pairs
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyloom.core.losses import LossConfig, LossOut

if TYPE_CHECKING:  # recipes and plans read Config without torch
    from jaxtyping import Float
    from torch import Tensor

    from skyloom.reward.model import PairScores


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(LossConfig):
    """One constant."""

    margin: float = 0.0
    """Gap at which the loss falls to log 2, in reward units (Llama 2, eq. 2, as one constant)."""


def loss(pairs: PairScores, config: Config) -> LossOut:
    """Mean over the pairs; `win_rate` counts a tie as half, `gap` is the mean of chosen - rejected."""
    from torch.nn.functional import logsigmoid

    gap_B: Float[Tensor, " B"] = pairs.chosen_B - pairs.rejected_B
    nll_B: Float[Tensor, " B"] = -logsigmoid(gap_B - config.margin)
    # A tie is half a win here, so a constant model reads 0.5; RewardBench's accuracy counts a tie as wrong.
    win_B: Float[Tensor, " B"] = (gap_B.detach().sign() + 1) / 2
    return LossOut(loss=nll_B.mean(), metrics={"win_rate": win_B.mean(), "gap": gap_B.detach().mean()})
