"""Likelihood of reference solutions: a measure that moves long before accuracy leaves its floor.

Formula  nll of an item = mean over the tokens t of its solution, its end token included, of -log p(token_t | question, tokens before),
         in nats; rendered exactly as in training, so for a held-out question it is the validation loss of that row
Source   ours; accuracy of small models stays at zero for most of training, likelihood does not
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Limits   It measures one way to the answer, in the reference's words: compare models by it on the same items alone.
Shapes   B rows of a batch, T tokens of its longest row, K positions that any row learns at, V vocabulary
"""

import logging
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core import progress
from skyloom.core.errors import BadRow
from skyloom.core.llm.backbones import pad_id
from skyloom.core.llm.packing import IGNORED, Padded, pad, plan_sorted
from skyloom.core.llm.templates import Rendered, render_pair
from skyloom.mathqa.benchmark import Item
from skyloom.mathqa.records import chat


def solution_nll(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], batch_tokens: int
) -> list[float | None]:
    """Mean nats per token of each item's reference solution after its question, in the order of the items.

    None for an item without a solution, one whose question and solution are longer than the model's window, and one that holds the
    tokenizer's special tokens; the last two are logged. A single row longer than `batch_tokens` makes a batch of its own.
    """
    window = getattr(model.config, "max_position_embeddings", None)
    rows: dict[int, Rendered] = {}
    left_out = 0
    for place, item in enumerate(items):
        rendered = _rendered(tokenizer, item, window) if item.solution else None
        left_out += bool(item.solution) and rendered is None
        if rendered is not None:
            rows[place] = rendered
    if left_out:
        logging.getLogger(__name__).warning("%d reference solutions do not fit the model, and are not scored", left_out)
    found: list[float | None] = [None] * len(items)
    places = list(rows)
    lengths = [len(rows[place].ids) for place in places]
    with progress.bar("scoring solutions", len(places)) as shown:
        for batch in plan_sorted(lengths, max(batch_tokens, *lengths, 1)):
            some = [places[k] for k in batch.tolist()]
            for place, value in zip(some, _score(model, tokenizer, [rows[place] for place in some]), strict=True):
                found[place] = value
            shown.advance(len(some))
    return found


def _rendered(tokenizer: PreTrainedTokenizerBase, item: Item, window: object) -> Rendered | None:
    try:
        rendered = render_pair(tokenizer, chat(item.question), item.solution)
    except BadRow:
        return None
    return None if isinstance(window, int) and len(rendered.ids) > window else rendered


@torch.no_grad()
def _score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Rendered]) -> list[float]:
    padded: Padded = pad([row.ids for row in rows], pad_id(tokenizer), learn=[row.reply for row in rows])
    labels_BT: Int[Tensor, "B T"] = padded.labels_BT[:, 1:].to(model.device)
    # The vocabulary is multiplied only where some row of the batch learns: questions, which come first, cost none.
    place_K: Int[Tensor, " K"] = (labels_BT != IGNORED).any(dim=0).nonzero()[:, 0]
    logits_BKV: Float[Tensor, "B K V"] = model(
        input_ids=padded.ids_BT[:, :-1].to(model.device),
        attention_mask=padded.mask_BT[:, :-1].to(model.device),
        use_cache=False,
        logits_to_keep=place_K,
    ).logits
    labels_BK = labels_BT[:, place_K]
    nll_BK = cross_entropy(logits_BKV.float().transpose(1, 2), labels_BK, ignore_index=IGNORED, reduction="none")
    return (nll_BK.double().sum(dim=1) / (labels_BK != IGNORED).sum(dim=1)).tolist()
