"""Skywork's selection on repaired, deduplicated and decontaminated data: what v0.2 would be without its known faults.

Before the paper's rules: responses are cut at their first chat-control token (every magpie-ultra loser carries one), exact and near
copies and contradicting labels go, and so does every pair of every source that shares seven words in a row with a benchmark in its prompt
or in either response. After them: pairs that an out-of-fold model holds for mislabelled go, and no source may be left with a shortcut
that gives its labels away.

Source   ours, on Liu et al. 2024 (arXiv 2410.18451); faults: RM-R1 (2505.02387, appendix F.2), the re-run of the n-gram script
Run      skyloom run skywork_clean --smoke
"""

from skyloom.core.config import PluginConfig
from skyloom.recipes.reward import _skywork as skywork
from skyloom.reward.annotate import contamination as find_contamination
from skyloom.reward.annotate import control_tokens as find_control_tokens
from skyloom.reward.annotate import exact_duplicates as find_duplicates
from skyloom.reward.annotate import near_duplicates as find_near
from skyloom.reward.annotate import shortcuts as find_shortcuts
from skyloom.reward.decide import agreement, contamination, control_tokens, duplicates, near_duplicates, shortcuts
from skyloom.reward.settings import RewardConfig


def config() -> RewardConfig:
    """The seven real sets."""
    return skywork.full(_chain(), skywork.V02)


def smoke() -> RewardConfig:
    """Generated sets at a twentieth of the size."""
    return skywork.small(_chain(), skywork.V02)


def _chain() -> tuple[PluginConfig, ...]:
    """Cleaning first, so that the ranked places go to clean pairs; the judge comes last, on what is left."""
    cleaning = (
        find_control_tokens.Config(),
        control_tokens.Config(),
        find_duplicates.Config(),
        duplicates.Config(),
        find_near.Config(),
        near_duplicates.Config(),
        find_contamination.Config(),
        contamination.Config(),
    )
    return (
        *cleaning,
        *skywork.selection(),
        agreement.Config(drop_below=0.2),
        find_shortcuts.Config(),
        shortcuts.Config(),
    )
