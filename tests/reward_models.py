"""Reward models small enough to build in a test: every kind of backbone in memory, pairs, and a curated table of them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from transformers import (
    AutoModel,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MptConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from skyloom.core.llm.backbones import train_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import Message, schema, to_row
from skyloom.core.rng import stream
from skyloom.reward.layout import Group
from skyloom.reward.model import RewardModel
from skyloom.reward.records import Pair, pair
from skyloom.reward.settings import TrainConfig

WORDS = 50
TINY = BackboneConfig(hidden=16, layers=2, heads=2, max_length=64, vocab=300)
CONFIG = TrainConfig(
    backbone=TINY,
    optim=TrainerConfig(lr=1e-2, checkpoint_every=4, threads=1),
    epochs=2,
    batch_pairs=8,
    budget=512,
    valid_share=0.2,
    evaluations=2,
)
_SHAPE = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def shape(kind: str) -> PretrainedConfig:
    gpt2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": WORDS}
    makers = {
        "llama": lambda: LlamaConfig(**_SHAPE, **_IDS),
        "qwen2": lambda: Qwen2Config(**_SHAPE, **_IDS),
        "mistral": lambda: MistralConfig(**_SHAPE, **_IDS, sliding_window=None),
        "sliding": lambda: MistralConfig(**_SHAPE, **_IDS, sliding_window=6),
        "gemma2": lambda: Gemma2Config(**_SHAPE, **_IDS, head_dim=8, sliding_window=64),
        "gemma3": lambda: Gemma3TextConfig(**_SHAPE, **_IDS, head_dim=8, sliding_window=64),
        "gpt2": lambda: GPT2Config(**gpt2, **_IDS, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
        "bloom": lambda: BloomConfig(vocab_size=WORDS, hidden_size=16, n_layer=2, n_head=2, **_IDS),
        "mamba": lambda: MambaConfig(vocab_size=WORDS, hidden_size=16, num_hidden_layers=2, state_size=4, **_IDS),
        "mpt": lambda: MptConfig(
            d_model=16, n_heads=2, n_layers=2, expansion_ratio=2, max_seq_len=64, vocab_size=WORDS, **_IDS
        ),
    }
    return makers[kind]()


def backbone(kind: str, dtype: torch.dtype = torch.float32) -> RewardModel:
    """Random weights, five times what they are drawn with, so that scores depend on more than the last token."""
    attention = "eager" if kind in ("gemma2", "bloom", "mamba", "mpt") else "sdpa"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModel.from_config(shape(kind), dtype=dtype, attn_implementation=attention)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(5)
    return RewardModel(model, seed=3).eval()


def groups(*names: str | int, count: int = 5, replies: int = 5, tokens: int = WORDS) -> list[Group]:
    """Ragged groups: 1 to `replies` replies of 1 to 14 tokens behind 1 to 19; the first one's replies begin with one another."""
    rng = stream(0, "groups", *map(str, names))

    def draw(most: int) -> list[int]:
        return rng.integers(1, tokens, int(rng.integers(1, most))).tolist()

    found = [Group(draw(20), [draw(15) for _ in range(int(rng.integers(1, replies + 1)))]) for _ in range(count)]
    whole = [*draw(14), 1]
    return [Group(found[0].prefix, [whole[: max(1, len(whole) // 2)], whole]), *found[1:]]


def scores64(model: RewardModel, batch) -> torch.Tensor:
    """Scores in the backbone's own precision, where `model(batch)` gives float32."""
    hidden_BTD = model.hidden(batch)
    return hidden_BTD[batch.row_K, batch.column_K] @ model.head.weight[0].to(hidden_BTD.dtype)


def alike(one, other, bound: float) -> bool:
    """Whether scores differ by at most `bound` relative to max(1, |score|)."""
    one, other = (np.asarray(each, dtype=np.float64) for each in (one, other))
    return bool((np.abs(one - other) <= bound * np.maximum(1, np.abs(one))).all())


def talk(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def make_pairs(count: int, words: tuple[str, str] = ("good", "bad"), prompt: str = "question") -> list[Pair]:
    return [
        pair(talk(f"{prompt} {k}"), f"{words[0]} answer", f"{words[1]} {'long ' * (k % 4)}answer") for k in range(count)
    ]


def kept(pairs: list[Pair], weight: float | list[float] = 1.0, label: float | list[float] = 1.0) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_pylist([to_row(each) for each in pairs], schema=schema(Pair)))
    columns = {"weight": weight, "label": label}
    told = {name: [value] * len(pairs) if isinstance(value, float) else value for name, value in columns.items()}
    return frame.with_columns(pl.Series(name, values, dtype=pl.Float64) for name, values in told.items())


def with_optim(config: TrainConfig, **fields) -> TrainConfig:
    return replace(config, optim=replace(config.optim, **fields))


def small_tokenizer(template: str | None = None, pad: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of `tiny`, with another template or pad token where one is named."""
    made = train_tokenizer(["good answer bad long question 0123456789"], 300)
    made.chat_template = template or made.chat_template
    made.pad_token = pad or made.pad_token
    return made
