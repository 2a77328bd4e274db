"""What the losses of pairs share: scores, weights, labels and score gaps in; one weighted mean and its metrics out.

Formula  a loss file gives f(chosen, rejected, margin). With a label l, smoothed to l (1 - s) + (1 - l) s, and m = score_margin * gap:
             pair   l f(c, r, m) + (1 - l) f(r, c, -m) + centre (c + r)^2
             batch  sum of w * pair / sum of w; 0 where every weight is 0
Source   margin: Touvron et al. 2023 (Llama 2, eq. 2); label smoothing: Szegedy et al. 2016, section 7; centring: Eisenstein et al.
         2023 (arXiv 2312.09244, eq. 2), coefficient 0.01 in TRL
Flow     collect -> curate -> [train] -> evaluate -> report; the ledger gives weights and labels, the source the score gap
Margin   m is what the source's scores say that the gap should be, so it changes its sign where the sides change places, as the gap
         does: under Bradley-Terry P(chosen better) = sigmoid(c - r - m), and this is the cross-entropy of l with that one
         probability, least at c - r = m + logit(l). A loss's own constant margin is the same for both sides: it asks for a gap
         whichever side wins. Hence swapping the sides, with 1 - l and -gap, changes no loss.
Run      skyloom run skywork_reward --set train.loss.label_smoothing=0.1 --set train.loss.centre=0.01
Shapes   B preference pairs
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from skyloom.core.losses import LossConfig, LossOut

if TYPE_CHECKING:  # recipes and plans read Config without torch
    from jaxtyping import Float
    from torch import Tensor

    PairFormula: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
    """(chosen_B, rejected_B, margin_B) -> loss_B: finite for finite scores, and 0 or more."""


class PairScores(NamedTuple):
    """What a loss is told about B pairs."""

    chosen_B: Float[Tensor, " B"]
    """Scores of the chosen sides, reward units."""
    rejected_B: Float[Tensor, " B"]
    """Scores of the rejected sides, reward units."""
    weight_B: Float[Tensor, " B"]
    """How much a pair counts, 0 or more."""
    label_B: Float[Tensor, " B"]
    """Probability that the chosen side is the better one, 0 to 1."""
    gap_B: Float[Tensor, " B"]
    """The source's own score of the chosen side minus that of the rejected one, its units, any sign; 0 where it has none."""

    @classmethod
    def plain(cls, chosen_B: Float[Tensor, " B"], rejected_B: Float[Tensor, " B"]) -> PairScores:
        """Scores of pairs that all count the same, with certain labels and no score gaps."""
        import torch

        one_B = torch.ones_like(chosen_B.detach())
        return cls(chosen_B, rejected_B, one_B, one_B, torch.zeros_like(one_B))


@dataclass(frozen=True, kw_only=True, slots=True)
class PairLossConfig(LossConfig):
    """Base of the config of every loss of pairs."""

    label_smoothing: float = 0.0
    """Probability that a label is wrong, as far as the loss is told; at least 0 and below 0.5."""
    score_margin: float = 0.0
    """Reward units of margin for one unit of the source's score gap, 0 (off) or more. Every loss that looks at the gap takes it."""
    centre: float = 0.0
    """Coefficient of the mean of (chosen + rejected)^2, 0 (off) or more: it fixes the scores' free constant (TRL: 0.01)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value out of range; a subclass with fields of its own calls this first."""
        require(self, "label_smoothing", 0 <= self.label_smoothing < 0.5, "at least 0 and below 0.5")
        require(self, "score_margin", 0 <= self.score_margin < math.inf, "0 (off) or more")
        require(self, "centre", 0 <= self.centre < math.inf, "0 (off) or more")


def require(config: LossConfig, field: str, holds: bool, rule: str) -> None:
    """Raise ValueError, naming the field and its value, unless the rule holds."""
    if not holds:
        raise ValueError(f"{field}={getattr(config, field)} must be {rule}")


def pair_loss(pairs: PairScores, config: PairLossConfig, formula: PairFormula) -> LossOut:
    """The weighted mean of the module's formula over B pairs, which `LossOut.summed(sum of weights)` turns into a sum.

    Args:
        pairs: any floating type; computed in float32, or in float64 where that comes in.
        config: what every loss of pairs has.
        formula: the loss of each pair under the label "chosen is better".

    Returns:
        The loss, and as weighted means: `win_rate` (share with chosen above rejected, 0 to 1, a tie is half a win), `gap`
        (chosen - rejected) and, with centring, `centre` (the square without its coefficient).
    """
    import torch

    # Under autocast a head may hand over bfloat16, whose differences have two or three digits.
    wide = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in pairs)
    chosen_B, rejected_B, weight_B, label_B, gap_B = wide
    label_B = label_B * (1 - config.label_smoothing) + (1 - label_B) * config.label_smoothing
    margin_B = config.score_margin * gap_B
    loss_B = label_B * formula(chosen_B, rejected_B, margin_B) + (1 - label_B) * formula(
        rejected_B, chosen_B, -margin_B
    )
    reward_gap_B = (chosen_B - rejected_B).detach()
    # A tie is half a win here, so a constant model reads 0.5; RewardBench's accuracy counts a tie as wrong.
    readings_B = {"win_rate": (reward_gap_B.sign() + 1) / 2, "gap": reward_gap_B}
    if config.centre:
        square_B = (chosen_B + rejected_B).square()
        loss_B = loss_B + config.centre * square_B
        readings_B["centre"] = square_B.detach()
    total = weight_B.sum()
    # One process of several may hold no pair of this update: its loss and its gradients are 0, not 0/0.
    divisor = total.where(total > 0, 1)
    metrics = {name: (weight_B * value_B).sum() / divisor for name, value_B in readings_B.items()}
    return LossOut(loss=(weight_B * loss_B).sum() / divisor, metrics=metrics)
