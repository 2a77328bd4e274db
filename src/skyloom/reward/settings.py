"""Settings of training and evaluation: torch-free, so that recipes and plans can import them.

Flow   recipes build them; train.py, evals and pipeline.py obey them
Run    skyloom run skywork_reward --set train.optim.lr=1e-3
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from skyloom.core.config import NOT_KEYED, Config, PluginConfig
from skyloom.core.execute import ExecuteConfig
from skyloom.core.llm.config import AdapterConfig, BackboneConfig
from skyloom.core.losses import LossConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import SourceConfig
from skyloom.reward.losses import bradley_terry


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreConfig(Config):
    """How a trained model is asked."""

    max_length: int = 0
    """Longest conversation in tokens; 0 takes the model's own limit."""
    over_long: Literal["error", "drop", "truncate"] = "drop"
    """A longer one: an error; not scored, and counted; or cut at the left of the prompt, and counted."""
    budget: int = 16384
    """Most tokens of one batch; a longer conversation stands alone in one."""
    share_prompts: bool = True
    """Replies of one prompt may stand behind one copy of it, where that costs less and the backbone takes it; scores stay the same."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the weights in memory."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention kernel; Gemma-2 needs `eager` or `flash_attention_2` (reward-bench issue 169)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model goes; auto takes a GPU where torch sees one."""


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
    layout: Literal["auto", "padded", "shared", "flat"] = "auto"
    """How pairs lie in memory (reward/layout.py): auto pads nothing where the attention can tell conversations apart (FlashAttention; sdpa
    on a CPU), and there shares prompts where the lengths say that it pays; no layout changes the loss."""
    over_long: Literal["error", "drop", "truncate"] = "drop"
    """A pair with a side above `backbone.max_length` tokens: an error; left out and counted; or its prompt cut at the left, and counted."""
    adapter: AdapterConfig | None = None
    """Train low-rank adapters and the head in place of all weights."""
    recompute: bool = False
    """Keep no activations for the backward pass, and compute them again: a third more work, far less memory."""
    valid_share: float = 0.1
    """Share of the prompts on which the checkpoint is chosen, above 0 and below 1; their pairs are not trained on."""
    held_out_share: float = 0.0
    """Share of the prompts set aside before anything else, for evals/held_out.py; 0 sets none aside."""
    evaluations: int = 8
    """How often the validation slice is scored during training, at least 1."""
    posterior_pairs: int = 2048
    """Training pairs, drawn by seed, that stand for all of them in the head's posterior (laplace.py) after training; 0 fits none."""
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
class EvalFileConfig(EvalConfig):
    """Base config of a benchmark that is read from files."""

    path: Path | None = field(default=None, metadata=NOT_KEYED)
    """A .jsonl, .json or .parquet file, or a folder of them; its content keys the run."""


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
