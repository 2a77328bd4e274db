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
from skyloom.recipes.reward._cleaning import cleaning
from skyloom.reward.annotate import agreement as agreement_of
from skyloom.reward.annotate import offsets
from skyloom.reward.annotate import shortcuts as find_shortcuts
from skyloom.reward.decide import (
    agreement,
    shortcuts,
    top_k,
    wildguard,
)
from skyloom.reward.settings import RewardConfig


def config() -> RewardConfig:
    """The seven real sets."""
    return skywork.full(_chain(), skywork.V02)


def smoke() -> RewardConfig:
    """Generated sets at a twentieth of the size."""
    return skywork.small(_chain(), skywork.V02)


def learnt() -> RewardConfig:
    """Offsets learnt from the data in place of -0.1 and -0.05; the judge then reads the whole pool (15 kB of memory a pair)."""
    return skywork.full(_learnt_chain(), skywork.V02)


def smoke_learnt() -> RewardConfig:
    """The same on generated sets."""
    return skywork.small(_learnt_chain(), skywork.V02)


def _chain() -> tuple[PluginConfig, ...]:
    """Cleaning first, so that the ranked places go to clean pairs; the judge comes last, on what is left."""
    return (*cleaning(), *skywork.selection(), *_gates())


def _learnt_chain() -> tuple[PluginConfig, ...]:
    """The judge before the ranking: where it agrees says by how much each generator's scores are off."""
    judged = (agreement_of.Config(transfer=("wildguardmix",), repeats=1), wildguard.Config())
    ranked = (offsets.Config(sources=skywork.MAGPIE, reference="magpie_pro31"), top_k.Config(
        sources=skywork.MAGPIE, share=skywork.OTHER_SHARE, shares=skywork.SHARES, learnt=True
    ))  # fmt: skip
    return (*cleaning(), *skywork.ties(), *judged, *ranked, *_gates())


def _gates() -> tuple[PluginConfig, ...]:
    """WildGuardMix is about refusing, which its surface shows: its shortcuts are reported and stop nothing."""
    others = tuple(name for name in skywork.V02 if name != "wildguardmix")
    return (agreement.Config(drop_below=0.2), find_shortcuts.Config(), shortcuts.Config(sources=others))
