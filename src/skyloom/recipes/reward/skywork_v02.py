"""Skywork-Reward-Preference-80K v0.2: v0.1 without the magpie-ultra prompts that share seven words in a row with RewardBench.

The published purge looked at prompts only and touched one source, so 445 prompts stayed; skywork_clean goes on from there.

Source   data card of v0.2 (81,973 - 4,957 = 77,016 rows, all removed ones magpie-ultra); the n-gram script as in reward.md's gist:
         CountVectorizer with 7- to 13-grams, any common one counts
Run      skyloom run skywork_v02 --smoke
"""

from skyloom.core.config import PluginConfig
from skyloom.recipes.reward import _skywork as skywork
from skyloom.reward.annotate import contamination as find_contamination
from skyloom.reward.annotate import near_duplicates
from skyloom.reward.decide import contamination
from skyloom.reward.settings import RewardConfig


def config() -> RewardConfig:
    """The seven real sets."""
    return skywork.full(_chain(), skywork.V02)


def smoke() -> RewardConfig:
    """Generated sets at a twentieth of the size."""
    return skywork.small(_chain(), skywork.V02)


def _chain() -> tuple[PluginConfig, ...]:
    """The purge came after the selection, so freed places were not filled again."""
    purge = contamination.Config(sources=("magpie_ultra",), min_words=7, responses=False)
    return (near_duplicates.Config(), *skywork.selection(), find_contamination.Config(), purge)
