"""Skywork-Reward: curate preference pairs, train a Bradley-Terry reward model, score RewardBench's sections.

`config` and `gemma_27b` read a local file of the released 80K selection and train at the published settings; `smoke` does the same
loop on the preference world with a model of about 0.15M weights.

Source   Liu et al. 2024 (arXiv 2410.18451), sections 3 and 4: Llama-3.1-8B-Instruct lr 2e-6, Gemma-2-27B-it lr 1e-6, weight decay
         1e-3, batch 128, cosine, 2 epochs. Not stated there, so ours: max length, warm-up, seed.
Run      skyloom run skywork_reward --smoke
         skyloom run skywork_reward --set collect.skywork_80k.path=FILE --set evaluate.path=FILE
"""

from dataclasses import replace
from pathlib import Path

from skyloom.core.config import PluginConfig
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.recipes.reward._cleaning import cleaning
from skyloom.reward.annotate import agreement as find_agreement
from skyloom.reward.annotate import length as find_length
from skyloom.reward.annotate import scores as find_scores
from skyloom.reward.decide import agreement, length, top_k
from skyloom.reward.evals import reward_bench
from skyloom.reward.settings import RewardConfig, TrainConfig
from skyloom.reward.sources import skywork_80k, world

PAIRS: Path = Path("data/Skywork-Reward-Preference-80K-v0.2.parquet")
"""HF Skywork/Skywork-Reward-Preference-80K-v0.2 as one local file or folder."""
BENCHMARK: Path = Path("data/reward-bench-filtered.parquet")
"""HF allenai/reward-bench, split `filtered`."""
V02_PAIRS: int = 77_016
"""Rows of Preference-80K-v0.2 (dataset card)."""
PAIR_TOKENS: int = 1_247
"""Tokens of a pair, both sides: 2 * (96.3 + 527.2), the paper's table."""


def config() -> RewardConfig:
    """Llama-3.1-8B-Instruct at the published settings, on two local files that nobody ships with Skyloom."""
    return RewardConfig(
        collect=(skywork_80k.Config(path=PAIRS),),
        curate=_chain(),
        train=TrainConfig(
            # Weights of bfloat16 would lose updates of 2e-6 to rounding: float32, and the forward pass in bfloat16.
            backbone=BackboneConfig(model="meta-llama/Llama-3.1-8B-Instruct", max_length=4096, attention="sdpa"),
            optim=TrainerConfig(
                lr=2e-6, weight_decay=1e-3, warmup_ratio=0.03, final_lr_ratio=0.0, dtype="bfloat16", device="auto"
            ),
            epochs=2,
            batch_pairs=128,
            budget=16384,
            valid_share=0.02,
        ),
        evaluate=reward_bench.Config(path=BENCHMARK),
        ngram=13,
        planned_pairs=V02_PAIRS,
        planned_tokens=PAIR_TOKENS,
    )


def gemma_27b() -> RewardConfig:
    """Gemma-2-27B-it: half the learning rate, and eager attention, because SDPA degrades it (allenai/reward-bench issue 169)."""
    base = config()
    train = replace(
        base.train,
        backbone=replace(base.train.backbone, model="google/gemma-2-27b-it", attention="eager"),
        optim=replace(base.train.optim, lr=1e-6),
    )
    return replace(base, train=train)


def smoke() -> RewardConfig:
    """The preference world and `tiny`, on a laptop."""
    return RewardConfig(
        collect=(world.Config(rows=7000, eval_rows=800),),
        curate=(
            *_chain(max_ratio=3.0),
            find_agreement.Config(),
            agreement.Config(),
            find_scores.Config(),
            top_k.Config(share=0.85, offsets={"amber": -0.35}),
        ),
        train=TrainConfig(
            backbone=BackboneConfig(hidden=64, layers=1, heads=4, max_length=128),
            # One thread: matrices this small gain little from a second one, and lose much where other work shares the cores.
            optim=TrainerConfig(lr=4e-3, warmup_ratio=0.05, checkpoint_every=200, threads=1),
            epochs=4,
            batch_pairs=16,
            budget=4096,
            language_weight=0.1,
            language_epochs=1,
        ),
        evaluate=reward_bench.Config(world=world.Config(part="eval", rows=800)),
    )


def _chain(max_ratio: float = 0.0) -> tuple[PluginConfig, ...]:
    """Control tokens, exact and near duplicates, benchmark leaks, length."""
    return (
        *cleaning(),
        find_length.Config(),
        length.Config(max_ratio=max_ratio),
    )
