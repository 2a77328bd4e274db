"""Which language model, how long its inputs, how it generates: torch-free settings.

Flow     every system that reads or writes text; `load_tokenizer`, `load_backbone` (backbones.py), `add_adapter` and `generate` obey them
Run      skyloom run RECIPE --set train.backbone.model=tiny --set train.backbone.hidden=192
"""

import re
from dataclasses import dataclass
from typing import Literal

from skyloom.core.config import Config
from skyloom.core.errors import BadInput

TINY: str = "tiny"


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneConfig(Config):
    """A language model by name, and the size of `tiny`."""

    model: str = TINY
    """`tiny` (made on the spot), a Hugging Face name, a local directory, or a `.gguf` file."""
    max_length: int = 512
    """Longest input in tokens, prompt and reply together; `tiny` has positions for so many."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """Type of the weights in memory."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention kernel; Gemma-2 needs `eager` or `flash_attention_2` (reward-bench issue 169)."""
    hidden: int = 128
    """`tiny` only: width, a multiple of `heads`."""
    layers: int = 2
    """`tiny` only: transformer blocks."""
    heads: int = 4
    """`tiny` only: attention heads."""
    vocab: int = 4096
    """`tiny` only: most tokens that its BPE may learn, special tokens and the 256 bytes included."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a size that cannot be built."""
        sizes = (self.max_length, self.hidden, self.layers, self.heads)
        if min(sizes) < 1:
            raise ValueError("max_length, hidden, layers and heads must be at least 1")
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden={self.hidden} must be an even multiple of heads={self.heads} (rotary positions)")
        if self.vocab < 300:
            raise ValueError(f"vocab={self.vocab} must be at least 300: 256 bytes and the special tokens come first")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterConfig(Config):
    """LoRA (Hu et al. 2021): low-rank products beside frozen weights, merged into them when the model is written."""

    rank: int = 16
    """Rank of each product, at least 1."""
    alpha: int = 32
    """The product is multiplied by alpha / rank."""
    dropout: float = 0.0
    """Share of an adapter's inputs that are dropped in training, 0 to below 1."""
    targets: tuple[str, ...] = ()
    """Names of the linear maps that get one, such as q_proj; empty: all but the head."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that cannot train."""
        if self.rank < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"rank={self.rank} must be at least 1, dropout={self.dropout} at least 0 and below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateConfig(Config):
    """How replies are written."""

    max_new_tokens: int = 256
    """Longest reply in tokens."""
    temperature: float = 0.0
    """0 takes the likeliest token (greedy); above 0 draws from softmax(logits / temperature)."""
    top_p: float = 1.0
    """Draw among the fewest likeliest tokens whose probability reaches this share, in (0, 1] (Holtzman et al. 2020)."""
    stop: tuple[str, ...] = ()
    """Texts that end a reply besides the tokenizer's end token; the reply is cut before the first of them."""
    batch_tokens: int = 16384
    """Most tokens held at once: rows * (longest prompt + max_new_tokens)."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for values that cannot generate."""
        rules = (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", self.temperature >= 0, "0 (greedy) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("stop", all(self.stop), "texts that are not empty"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise ValueError(f"{name}={getattr(self, name)} must be {rule}")


def intermediate(config: BackboneConfig) -> int:
    """Width of `tiny`'s SwiGLU layer: 8/3 of `hidden`, rounded up to a multiple of 32 (Shazeer 2020, section 2)."""
    return -(-8 * config.hidden // (3 * 32)) * 32


def parameters(config: BackboneConfig) -> int:
    """Number of weights, for plans: exact for a `tiny` with a full vocabulary and tied head, else the size in the name.

    Raises BadInput when the name carries no size such as `8B` or `135M`.
    """
    if config.model == TINY:
        block = 4 * config.hidden**2 + 3 * config.hidden * intermediate(config) + 2 * config.hidden
        return config.vocab * config.hidden + config.layers * block + config.hidden
    found = re.findall(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([BbMm])(?![A-Za-z0-9])", config.model.rsplit("/", 1)[-1])
    if not found:
        raise BadInput(f"model {config.model!r}: no size such as 8B in its name, so nothing can be planned for it")
    number, unit = found[-1]
    return round(float(number) * (1e9 if unit in "Bb" else 1e6))
