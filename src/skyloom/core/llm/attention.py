"""Attention over several conversations in one row without padding, which may share a prompt, on machines without a varlen kernel.

Formula  a piece is a prompt of p tokens with its replies behind it: the prompt attends causally to itself, each reply to the prompt and
         causally to itself; sdpa on slices, so nothing is padded, and no mask is larger than one reply by its prompt and itself
Flow     reward/model.py and mathqa/sft_loss.py give it to `sdpa` backbones and say where the pieces end
Run      python benchmarks/reward_train.py --quick
Limits   One kernel call a reply: right on a CPU, where a reply keeps all cores busy; GPUs have FlashAttention's varlen kernel. It
         knows no sliding window: whoever asks must see that none is shorter than a conversation.
Shapes   T tokens of the row, H heads, D width of a head, Q tokens of a reply, K tokens that it sees
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PIECES: str = "skyloom_pieces"
"""Name of this attention in transformers' registry; without `pieces` it is `sdpa`."""


FLASH: str = "flash_attention_2"
"""Name of the varlen kernel, which reads where rows begin off the positions."""


class Piece(NamedTuple):
    """A prompt and its replies, side by side in a row."""

    prompt: int
    """Tokens of the prompt; 0 where replies stand alone."""
    replies: tuple[int, ...]
    """Tokens of each reply."""


def attention_of(model: nn.Module) -> str:
    """The attention that a model runs with, by transformers' name."""
    config = cast(PreTrainedModel, model).config
    return str(config._attn_implementation)  # pyright: ignore[reportPrivateUsage] - there is no other way to ask


def is_narrow(config: PretrainedConfig, max_length: int) -> bool:
    """Whether a token somewhere in the model sees fewer than `max_length` tokens, which pieces know nothing of."""
    text = config.get_text_config()
    kinds = cast(Sequence[str], getattr(text, "layer_types", None) or ())
    slides = getattr(text, "use_sliding_window", True) or "sliding_attention" in kinds
    windows = [getattr(text, name, None) for name in ("attention_chunk_size", "window_size")]  # Llama 4, GPT-Neo
    windows.append(getattr(text, "sliding_window", None) if slides else None)
    return any(window < max_length for window in windows if window)


def _attend(
    module: nn.Module,
    query_1HTD: Tensor,
    key_1HTD: Tensor,
    value_1HTD: Tensor,
    attention_mask: Tensor | None,
    pieces: Sequence[Piece] | None = None,
    **options: Any,  # Any: transformers' keywords, passed on
) -> tuple[Tensor, None]:
    if pieces is None:
        return sdpa_attention_forward(module, query_1HTD, key_1HTD, value_1HTD, attention_mask, **options)
    outs = [
        sdpa_attention_forward(module, query, key, value, mask, **options)[0]
        for query, key, value, mask in _slices(query_1HTD, key_1HTD, value_1HTD, pieces)
    ]
    return torch.cat(outs, dim=1), None


def _slices(
    query_1HTD: Tensor, key_1HTD: Tensor, value_1HTD: Tensor, pieces: Sequence[Piece]
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
    """Queries, keys, values and mask of each prompt and each reply, in the order of the row; no mask: plainly causal."""
    at = 0
    for prompt, replies in pieces:
        before = slice(at, at + prompt)
        if prompt:
            yield query_1HTD[:, :, before], key_1HTD[:, :, before], value_1HTD[:, :, before], None
        at += prompt
        for tokens in replies:
            own = slice(at, at + tokens)
            at += tokens
            query, key, value = (whole[:, :, own] for whole in (query_1HTD, key_1HTD, value_1HTD))
            if not prompt:
                yield query, key, value, None
                continue
            key, value = (
                torch.cat([whole[:, :, before], part], dim=2) for whole, part in ((key_1HTD, key), (value_1HTD, value))
            )
            seen_QK = torch.ones(tokens, prompt + tokens, dtype=torch.bool, device=query.device).tril(prompt)
            yield query, key, value, seen_QK[None, None]


def _mask(*args: Any, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:  # Any: as above
    """sdpa's, and none for a row of pieces."""
    return None if attention_mask is None else sdpa_mask(*args, attention_mask=attention_mask, **options)


ALL_ATTENTION_FUNCTIONS.register(PIECES, _attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(PIECES, _mask)
