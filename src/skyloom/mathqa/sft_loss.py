"""The loss of supervised fine-tuning, however rows lie in memory: padded to a rectangle, or flat, one behind another without padding.

Formula  sum over rows b and response tokens t of weight_b * -log p(token_bt | before in the row); flat rows count positions from 0 and
         attend to themselves alone (core/llm/attention.py; FlashAttention reads the positions), so every logit is the padded one
Source   varlen rows: FlashAttention-2 (Dao 2023); padding-free fine-tuning: Kundu et al. 2024 (arXiv 2407.09105)
Flow     collect -> synthesize -> curate -> [train] -> evaluate -> report; mathqa/train.py calls it
Run      python benchmarks/sft.py --quick
Shapes   B rows of a micro-batch, T tokens of its longest row (flat: of all rows, B = 1), R response tokens in it, V vocabulary, H width
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from skyloom.core import distributed
from skyloom.core.errors import BadInput
from skyloom.core.llm.attention import FLASH, PIECES, Piece, attention_of, is_narrow
from skyloom.core.llm.packing import Flat, Padded, batch_tokens, flatten, pad, plan_sorted, plan_steps
from skyloom.core.losses import LossOut
from skyloom.mathqa.settings import TrainConfig
from skyloom.mathqa.sft_rows import Encoded

Layout = Literal["padded", "flat"]
PLAIN_HEADS: frozenset[str] = frozenset({"llama", "mistral", "mixtral", "qwen2", "qwen3", "gpt2"})
"""Model types whose logits are the output embedding of the last hidden state and nothing more (Gemma-2 caps them, Cohere scales)."""
ALIKE: dict[torch.dtype, float] = {torch.bfloat16: 5e-2}
"""Difference, relative to the largest loss, within which two layouts count as the same: some ten roundings; 1e-4 for wider types."""

CALL: int = 80_000
"""What a row's own kernel call costs in each layer, in tokens times width squared: an estimate from 0.1 ms a call beside 60 GFLOP/s, not
measured apart. A row flat must save more padding than that: at width 64 twenty tokens, at 320 one."""


def batch_loss(model: PreTrainedModel, pad_id: int, rows: Sequence[Encoded], layout: Layout = "padded") -> LossOut:
    """Summed weighted loss of a micro-batch, and `token_accuracy`, the weighted count of tokens that were likeliest."""
    nll_R, right_R, row_R = token_nll(model, pad_id, rows, layout)
    weight_R = torch.tensor([row.weight for row in rows], dtype=nll_R.dtype).to(nll_R.device)[row_R]
    return LossOut((nll_R * weight_R).sum(), {"token_accuracy": (right_R * weight_R).sum()})


def token_nll(
    model: PreTrainedModel, pad_id: int, rows: Sequence[Encoded], layout: Layout = "padded"
) -> tuple[Float[Tensor, " R"], Float[Tensor, " R"], Int[Tensor, " R"]]:
    """Of each response token, row after row: nats (with gradient), 1 where it was the likeliest, and the number of its row."""
    learn = [[bool(flag) for flag in row.learn] for row in rows]
    ids = [list(row.ids) for row in rows]
    batch = pad(ids, pad_id, learn=learn) if layout == "padded" else flatten(ids, learn)
    labels_BT: Int[Tensor, "B T"] = (batch.labels_BT if isinstance(batch, Padded) else batch.labels_1T)[:, 1:]
    place_R: Int[Tensor, " R"] = (labels_BT != -100).flatten().nonzero()[:, 0]
    target_R: Int[Tensor, " R"] = labels_BT.flatten()[place_R].to(model.device)
    logits_RV = response_logits(model, batch, place_R.to(model.device))
    wide_RV = logits_RV.to(torch.promote_types(logits_RV.dtype, torch.float32))
    nll_R: Float[Tensor, " R"] = cross_entropy(wide_RV, target_R, reduction="none")
    right_R: Float[Tensor, " R"] = (logits_RV.detach().argmax(dim=-1) == target_R).to(nll_R.dtype)
    row_R = torch.arange(len(rows)).repeat_interleave(torch.tensor([row.learnt for row in rows]))
    return nll_R, right_R, row_R.to(model.device)


def response_logits(model: PreTrainedModel, batch: Padded | Flat, place_R: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
    """Logits at flat positions of the B x (T - 1) shifted rectangle; all other positions skip the vocabulary."""
    told: dict[str, Any] = {"use_cache": False}  # Any: keywords of a model's forward
    if isinstance(batch, Padded):
        told |= {"input_ids": batch.ids_BT[:, :-1], "attention_mask": batch.mask_BT[:, :-1]}
    else:
        told |= {"input_ids": batch.ids_1T, "position_ids": batch.position_1T}
        if attention_of(model) == PIECES:
            told["pieces"] = tuple(Piece(0, (length,)) for length in batch.lengths)
    told = {name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in told.items()}
    if model.config.model_type not in PLAIN_HEADS:
        logits_BTV: Float[Tensor, "B T V"] = model(**told).logits
        return logits_BTV.flatten(0, 1).index_select(0, place_R)
    body = cast(PreTrainedModel, model.base_model)
    hidden_BTH: Float[Tensor, "B T H"] = body(**told).last_hidden_state
    head = cast(nn.Module, model.get_output_embeddings())
    return head(hidden_BTH.flatten(0, 1).index_select(0, place_R))


def denominator(micro: Sequence[Sequence[Encoded]], normalise: str) -> float:
    """What an update's summed loss is divided by: global, so the cut into micro-batches changes nothing."""
    return sum(row.weight * (row.learnt if normalise == "token" else 1) for batch in micro for row in batch)


def validate(
    model: PreTrainedModel, rows: Sequence[Encoded], pad_id: int, budget: int, layout: Layout = "padded"
) -> dict[str, float]:
    """Mean nats of a response token: `valid.loss` over all rows, and of each stage where there are two; eval mode is left on.

    A sharded model's processes share the batches; all of them get the numbers.
    """
    model.eval()
    losses: dict[int, float] = {}
    tokens: dict[int, float] = {}
    for stage in sorted({row.stage for row in rows}):
        own = [row for row in rows if row.stage == stage]
        lengths = [len(row.ids) for row in own]
        plan = plan_sorted(lengths, cpu_budget(budget, lengths, model.device), flat=layout == "flat")
        score = partial(distributed.inside, model, partial(_summed, model, pad_id, layout))
        losses[stage] = sum(distributed.map_batches([[own[k] for k in batch] for batch in plan], score))
        tokens[stage] = denominator([own], "token")
    found = {"valid.loss": sum(losses.values()) / sum(tokens.values())}
    if len(losses) > 1:
        found |= {f"valid.loss.stage{stage}": losses[stage] / tokens[stage] for stage in losses}
    return found


@torch.no_grad()
def _summed(model: PreTrainedModel, pad_id: int, layout: Layout, rows: Sequence[Encoded]) -> float:
    return float(batch_loss(model, pad_id, rows, layout).loss)


def cpu_budget(budget: int, lengths: Sequence[int], device: torch.device) -> int:
    """Tokens of a micro-batch: what the device reads fastest, but never less than the longest row."""
    return max(batch_tokens(budget, device), min(budget, max(lengths, default=0)))


def layout_for(model: PreTrainedModel, config: TrainConfig, device: torch.device, lengths: Sequence[int]) -> Layout:
    """What the settings name, or what costs least on rows of these lengths, this backbone and device; sdpa is replaced by the attention
    that flat rows need.

    Raises BadInput where the settings name a layout that would change the loss.
    """
    flash = config.backbone.attention == FLASH  # runs on a GPU alone, and the model is not there yet
    if config.layout == "padded" or (config.layout == "auto" and not flash and device.type != "cpu"):
        return "padded"  # one kernel call a row keeps no GPU busy
    if config.layout == "auto" and not flash:
        budget = cpu_budget(config.batch_tokens, lengths, device)
        plan = [batch for step in plan_steps(lengths, config.batch_rows, budget, 0) for batch in step]
        wasted = read_tokens(lengths, plan, "padded") - sum(lengths)
        if wasted * int(model.config.get_text_config().hidden_size) ** 2 < CALL * len(lengths):
            return "padded"
    if flash or _takes_flat(model, config.backbone.max_length):
        return "flat"
    if config.layout == "flat":
        raise BadInput(
            "train: layout=flat: this backbone or its attention does not tell the rows of a batch apart; set layout=auto"
        )
    return "padded"


def read_tokens(lengths: Sequence[int], batches: Sequence[NDArray[np.int64]], layout: Layout) -> int:
    """Tokens that the machine reads for these batches of rows, padding counted."""
    sizes = [[lengths[int(k)] for k in batch] for batch in batches]
    return sum(sum(size) if layout == "flat" else max(size) * len(size) for size in sizes)


def _takes_flat(model: PreTrainedModel, max_length: int) -> bool:
    """Whether the losses of flat rows are those of padded ones, tried once on three short rows; the model is left so that it takes them."""
    if attention_of(model) != "sdpa" or is_narrow(model.config, max_length):
        return False
    model.set_attn_implementation(PIECES)
    ids = [int(k) for k in np.linspace(1, int(model.config.get_text_config().vocab_size) - 1, 24)]
    probe = [Encoded(part, [True] * len(part), 1.0) for part in (ids[:9], ids[9:12], ids[12:])]
    was, same = model.training, False
    with (
        torch.no_grad(),
        suppress(RuntimeError, ValueError, TypeError, AttributeError),
    ):  # no position ids, or no pieces
        apart_R, other_R = (token_nll(model.eval(), 0, probe, layout)[0] for layout in ("padded", "flat"))
        bound = ALIKE.get(model.dtype, 1e-4) * float(apart_R.abs().max())
        same = float((apart_R - other_R).abs().max()) <= bound
    model.train(was)
    if not same:
        model.set_attn_implementation("sdpa")
    return same
