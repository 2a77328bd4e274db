"""Settings of training and evaluation: torch-free, so that recipes and plans can import them.

Flow   recipes build them; train.py, evals and pipeline.py obey them
Run    skyloom run skywork_reward --set train.optim.lr=1e-3
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from skyloom.core.config import NOT_KEYED, Config, PluginConfig
from skyloom.core.execute import ExecuteConfig
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.losses import LossConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import SourceConfig
from skyloom.reward.losses import bradley_terry


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig(Config):
    """How a reward model is trained."""

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    optim: TrainerConfig = field(default_factory=TrainerConfig)
    loss: LossConfig = field(default_factory=bradley_terry.Config)
    epochs: int = 2
    """Passes over the pairs, at least 1."""
    batch_pairs: int = 128
    """Pairs of one update."""
    budget: int = 8192
    """Most tokens of one padded micro-batch, both sides counted; how pairs fall into micro-batches changes no gradient."""
    over_long: Literal["drop", "refuse"] = "drop"
    """A pair with a side above `backbone.max_length` tokens: dropped and counted, or an error. Nothing is ever truncated."""
    valid_share: float = 0.1
    """Share of the prompts on which the checkpoint is chosen, above 0 and below 1; their pairs are not trained on."""
    held_out_share: float = 0.0
    """Share of the prompts set aside before anything else, for evals/held_out.py; 0 sets none aside."""
    evaluations: int = 8
    """How often the validation slice is scored during training, at least 1."""
    language_weight: float = 0.0
    """Weight of next-token cross-entropy on the chosen conversation beside the reward loss (GRM, Yang et al. 2024, arXiv
    2406.10216, eq. 6): what lets random weights learn to read. Needs a backbone whose embeddings are tied."""
    language_epochs: int = 0
    """Passes with the next-token loss alone before the reward loss joins: `tiny` has no pretraining, a hub model needs none."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig(PluginConfig):
    """Base config of a benchmark (`reward/evals/x.py`): `items(config)` and `report(config, items, scores)`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateConfig(Config):
    """Schema-true generated files in place of sets that are not at hand (reward/world/sets.py)."""

    scale: float = 0.01
    """Share of the published sizes, above 0 and at most 1."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardConfig(Config):
    """A whole run."""

    generate: GenerateConfig | None = None
    """Write generated files first; sources without a path, and RewardBench without one, read them."""
    collect: tuple[SourceConfig, ...]
    curate: tuple[PluginConfig, ...] = ()
    """Annotators and deciders in the order in which they run."""
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvalConfig
    benchmarks: tuple[Path, ...] = field(default=(), metadata=NOT_KEYED)
    """Files or folders of benchmarks whose prompts must not be trained on, beside the one that is evaluated; content keys the run."""
    ngram: int = 8
    """Words in a row that count as a benchmark leak (Skywork-Reward's script: 7 to 13)."""
    contain: int = 6
    """A benchmark prompt with fewer than `ngram` words is looked for inside texts from so many words on (ours)."""
    published: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Source -> (pairs in the published pool, pairs that the paper kept), printed beside the counts of this run."""
    planned_pairs: int = 0
    """Pairs that `plan` counts with where the data is not at hand; 0 takes the world's rows."""
    planned_tokens: int = 0
    """Tokens of a pair, both sides, likewise; 0 takes the world's."""
    execute: ExecuteConfig = field(default_factory=ExecuteConfig)
    seed: int = 0
