"""Skywork-Reward-Preference-80K v0.1: the paper's selection from 378K pairs, rule by rule, with its counts beside ours.

1. HelpSteer2: pairs whose helpfulness differs.  2. OffsetBias: all.  3. Magpie, four sets pooled: mean ArmoRM score of the responses,
less 0.1 for Air and 0.05 for Pro; the best 30 % of math and of coding, 10 % of every other category.  4. WildGuardMix: adversarial
pairs only, and of those the ones on which a reward model trained on the other sources agrees with the label.

Source   Liu et al. 2024 (arXiv 2410.18451), section 3; the order of the rules is as told there, all that it leaves open is ours
Run      skyloom run skywork_v01 --smoke
         skyloom run skywork_v01 --set evaluate.path=FILE     (fetches the seven sets; WildGuardMix is gated)
"""

from skyloom.core.config import PluginConfig
from skyloom.recipes.reward import _skywork as skywork
from skyloom.reward.annotate import near_duplicates
from skyloom.reward.settings import RewardConfig


def config() -> RewardConfig:
    """The seven real sets."""
    return skywork.full(_chain(), skywork.V01)


def smoke() -> RewardConfig:
    """Generated sets at a twentieth of the size."""
    return skywork.small(_chain(), skywork.V01)


def _chain() -> tuple[PluginConfig, ...]:
    """Near duplicates are looked for, so that the judge's folds keep them together, and not acted on: the paper has no such rule."""
    return (near_duplicates.Config(), *skywork.selection())
