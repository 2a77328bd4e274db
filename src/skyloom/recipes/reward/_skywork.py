"""What the three Skywork recipes share: the seven sources, the published counts, the rules in the paper's order, the training settings.

Source   Liu et al. 2024 (arXiv 2410.18451), tables of the pool and of the selection, section 3; data cards of Preference-80K v0.1, v0.2
Flow     recipes/reward/skywork_{v01,v02,clean}.py put the rules together
"""

from skyloom.core.config import PluginConfig
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import SourceConfig
from skyloom.recipes.reward import skywork_reward
from skyloom.reward.annotate import agreement, scores
from skyloom.reward.decide import score_gap, top_k, wildguard
from skyloom.reward.evals import reward_bench
from skyloom.reward.settings import GenerateConfig, RewardConfig, TrainConfig
from skyloom.reward.sources import (
    helpsteer2,
    magpie_air,
    magpie_pro,
    magpie_pro31,
    magpie_ultra,
    offsetbias,
    wildguardmix,
)

MAGPIE: tuple[str, ...] = ("magpie_ultra", "magpie_pro31", "magpie_pro", "magpie_air")
"""The sets that are ranked together."""
OFFSETS: dict[str, float] = {"magpie_air": -0.1, "magpie_pro": -0.05}
"""Hand-set corrections of the scores of two generators that ArmoRM overrates; the paper did not search for better ones."""
SHARES: dict[str, float] = {"Math": 0.3, "Coding & debugging": 0.3}
OTHER_SHARE: float = 0.1
V01: dict[str, tuple[int, int]] = {
    "helpsteer2": (7_221, 7_221),
    "offsetbias": (8_504, 8_504),
    "wildguardmix": (18_548, 6_709),
    "magpie_ultra": (50_000, 27_785),
    "magpie_pro31": (98_000, 29_682),
    "magpie_pro": (98_000, 2_030),
    "magpie_air": (98_000, 42),
}
"""Source -> (pairs in the 378K pool, pairs kept in v0.1)."""
V02: dict[str, tuple[int, int]] = {**V01, "magpie_ultra": (50_000, 22_828)}
"""v0.2 removed 4,957 pairs, all of magpie-ultra."""
SMALL: float = 0.05
"""Share of the published sizes that the laptop setting generates."""


def sources() -> tuple[SourceConfig, ...]:
    """The seven sets by their hub names; --set collect.<source>.path=FILE reads a local copy."""
    modules = (helpsteer2, offsetbias, wildguardmix, magpie_ultra, magpie_pro31, magpie_pro, magpie_air)
    return tuple(module.Config(hub=module.HUB.name) for module in modules)


def selection() -> tuple[PluginConfig, ...]:
    """The paper's rules in its order: ties of HelpSteer2 out, the best-scored Magpie pairs of each category, WildGuard's two stages.

    The judge of the second stage learns from the other sources as selected; its folds need `near_duplicates` in the chain before.
    """
    return (
        *ties(),
        top_k.Config(sources=MAGPIE, share=OTHER_SHARE, shares=SHARES, offsets=OFFSETS),
        agreement.Config(transfer=("wildguardmix",)),
        wildguard.Config(),
    )


def ties() -> tuple[PluginConfig, ...]:
    """What the sources say of their pairs, and HelpSteer2's pairs of equal helpfulness out."""
    return (scores.Config(), score_gap.Config(sources=("helpsteer2",)))


def full(curate: tuple[PluginConfig, ...], published: dict[str, tuple[int, int]]) -> RewardConfig:
    """The published size: seven hub sets, Llama-3.1-8B-Instruct, RewardBench from a local file."""
    base = skywork_reward.config()
    return RewardConfig(
        collect=sources(),
        curate=curate,
        train=base.train,
        evaluate=base.evaluate,
        ngram=7,
        published=published,
        planned_pairs=sum(kept for _, kept in published.values()),
        planned_tokens=base.planned_tokens,
    )


def small(curate: tuple[PluginConfig, ...], published: dict[str, tuple[int, int]]) -> RewardConfig:
    """Generated sets of the same columns at a twentieth of the size, and `tiny`: what the rules do, and nothing about the real data."""
    return RewardConfig(
        generate=GenerateConfig(scale=SMALL),
        collect=sources(),
        curate=curate,
        train=TrainConfig(
            backbone=BackboneConfig(hidden=64, layers=1, heads=4, max_length=256),
            optim=TrainerConfig(lr=4e-3, warmup_ratio=0.05, checkpoint_every=200, threads=1),
            epochs=3,
            batch_pairs=16,
            budget=4096,
            language_weight=0.1,
            language_epochs=1,
        ),
        evaluate=reward_bench.Config(),
        ngram=7,
        published=published,
        planned_pairs=round(SMALL * sum(kept for _, kept in published.values())),
        planned_tokens=100,
    )
