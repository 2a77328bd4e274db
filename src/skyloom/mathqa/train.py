"""Supervised fine-tuning: make the response likelier given the question; nothing else carries loss.

Formula  loss = sum over rows b and response tokens t of weight_b * -log p(token_bt | before) / denominator;
         denominator = weighted response tokens of the whole update (`token`), or its weighted rows (`example`: eq. 2)
Source   Skywork-Math (arXiv 2407.08348, eq. 2 and section 4.1): 3 epochs, 32 rows an update, warm-up 3%
Flow     collect -> synthesize -> curate -> [train] -> evaluate -> report
Run      skyloom run skywork_math --set train.epochs=1
Resume   exact, by core/trainer.py: batches are pure functions of (seed, epoch)
Shapes   B rows of a micro-batch, T tokens of its longest row, R response tokens in it, V vocabulary, H width
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core import store
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.llm.backbones import load_backbone, load_tokenizer, save_backbone
from skyloom.core.llm.config import TINY
from skyloom.core.llm.packing import Padded, pad, plan_sorted, plan_steps
from skyloom.core.llm.templates import render_pair
from skyloom.core.losses import LossOut
from skyloom.core.progress import track
from skyloom.core.rng import derive
from skyloom.core.trainer import Trainer
from skyloom.mathqa.records import chat
from skyloom.mathqa.settings import TrainConfig

PLAIN_HEADS: frozenset[str] = frozenset({"llama", "mistral", "mixtral", "qwen2", "qwen3", "gpt2"})
"""Model types whose logits are the output embedding of the last hidden state and nothing more (Gemma-2 caps them, Cohere scales)."""


class Example(NamedTuple):
    """One training row."""

    question: str
    response: str
    weight: float
    seed: str
    """Rows of one seed stay on one side of the validation split."""


class Encoded(NamedTuple):
    """A row as tokens; `learn` is True where a token is the response's."""

    ids: list[int]
    learn: list[bool]
    weight: float


class Trained(NamedTuple):
    """What training did."""

    rows: int
    valid_rows: int
    too_long: int
    updates: int
    best_step: int


def train(examples: Sequence[Example], config: TrainConfig, seed: int, out: Path) -> Trained:
    """Tune the backbone on the examples; the best checkpoint by validation loss goes to `out/model`.

    Raises:
        BadInput: no rows are left to train or to validate on.
        FailedWork: the loss is not finite.
    """
    corpus: list[str] = [text for example in examples for text in (example.question, example.response)]
    tokenizer = load_tokenizer(config.backbone, corpus if config.backbone.model == TINY else None)
    encoded, too_long = _encode_all(examples, tokenizer, config)
    learn_N, valid_N = split_rows([examples[place].seed for place, _ in encoded], config.valid_share, seed)
    rows: list[Encoded] = [encoded[k][1] for k in learn_N]
    valid: list[Encoded] = [encoded[k][1] for k in valid_N[: config.valid_rows]]
    if not rows or not valid:
        raise BadInput(f"training: {len(rows)} rows to learn from and {len(valid)} to validate on; give more rows")
    model = _scaled(load_backbone(config.backbone, tokenizer, seed=seed), config)
    store.write_json(out / "rows.json", {"learn": len(rows), "valid": len(valid), "too_long": too_long})
    pad_id = cast(int | None, tokenizer.pad_token_id) or 0
    updates, best = _fit(model, pad_id, rows, valid, config, seed, out)
    save_backbone(model, tokenizer, out / "model")
    return Trained(len(rows), len(valid), too_long, updates, best)


@torch.no_grad()
def _scaled(model: PreTrainedModel, config: TrainConfig) -> PreTrainedModel:
    """`tiny` with its matrices times `init_scale`; any other model as it is."""
    if config.backbone.model == TINY and config.init_scale != 1.0:
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(config.init_scale)
    return model


def split_rows(seeds: Sequence[str], valid_share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers to learn from and to validate on: all rows of one seed problem go to the same side."""
    held: dict[str, bool] = {name: derive(seed, "valid", name) < valid_share * 2**63 for name in dict.fromkeys(seeds)}
    held_N: NDArray[np.bool_] = np.array([held[name] for name in seeds], dtype=np.bool_)
    return np.flatnonzero(~held_N), np.flatnonzero(held_N)


def _encode_all(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, config: TrainConfig
) -> tuple[list[tuple[int, Encoded]], int]:
    """Position and tokens of every row that fits, and how many do not."""
    encoded: list[tuple[int, Encoded]] = []
    for place, example in enumerate(track(examples, "tokenising", len(examples))):
        try:
            rendered = render_pair(tokenizer, chat(example.question), example.response)
        except BadRow as error:
            raise BadInput(f"training: row {place + 1}: {error}; drop it in curation") from error
        if len(rendered.ids) <= config.backbone.max_length:
            encoded.append((place, Encoded(rendered.ids, rendered.reply, example.weight)))
    return encoded, len(examples) - len(encoded)


def _fit(
    model: PreTrainedModel,
    pad_id: int,
    rows: Sequence[Encoded],
    valid: Sequence[Encoded],
    config: TrainConfig,
    seed: int,
    out: Path,
) -> tuple[int, int]:
    """Updates made, and the step of the checkpoint that was taken."""
    lengths: list[int] = [len(row.ids) for row in rows]
    plan: list[list[NDArray[np.int64]]] = [
        step
        for epoch in range(config.epochs)
        for step in plan_steps(lengths, config.batch_rows, config.batch_tokens, seed, epoch)
    ]
    trainer = Trainer(model, config.optim, total_steps=len(plan), workdir=out)
    every: int = config.evaluate_every or -(-len(rows) // config.batch_rows)
    for index in trainer.steps("training"):
        micro = [[rows[k] for k in batch] for batch in plan[index]]
        trainer.step(micro, partial(_loss, model, pad_id), denominator(micro, config.normalise))
        if (index + 1) % every == 0 or index + 1 == len(plan):
            value: float = validate(model, valid, pad_id, config.batch_tokens)
            trainer.record({"valid.loss": value}, score=-value)
    return len(plan), trainer.load_best()


def denominator(micro: Sequence[Sequence[Encoded]], normalise: str) -> float:
    """What an update's summed loss is divided by: global, so the cut into micro-batches changes nothing."""
    rows: list[Encoded] = [row for batch in micro for row in batch]
    return sum(row.weight * (sum(row.learn) if normalise == "token" else 1) for row in rows)


@torch.no_grad()
def validate(model: PreTrainedModel, rows: Sequence[Encoded], pad_id: int, budget: int) -> float:
    """Mean negative log-likelihood of a response token, in nats."""
    model.eval()
    batches = plan_sorted([len(row.ids) for row in rows], budget)
    total: float = sum(float(_loss(model, pad_id, [rows[k] for k in batch]).loss) for batch in batches)
    return total / denominator([rows], "token")


def _loss(model: PreTrainedModel, pad_id: int, batch: Sequence[Encoded]) -> LossOut:
    """Summed weighted loss of a micro-batch; the head runs on the response's positions only."""
    padded: Padded = pad([row.ids for row in batch], pad_id, learn=[row.learn for row in batch])
    device: torch.device = model.device
    labels_BT: Int[Tensor, "B T"] = padded.labels_BT[:, 1:]
    place_R: Int[Tensor, " R"] = (labels_BT != -100).flatten().nonzero()[:, 0]
    weight_BT: Float[Tensor, "B T"] = torch.tensor([row.weight for row in batch])[:, None].expand(labels_BT.shape)
    logits_RV = response_logits(model, padded, place_R.to(device))
    target_R: Int[Tensor, " R"] = labels_BT.flatten()[place_R].to(device)
    nll_R: Float[Tensor, " R"] = cross_entropy(logits_RV.float(), target_R, reduction="none")
    right_R: Float[Tensor, " R"] = (logits_RV.detach().argmax(dim=-1) == target_R).float()
    weight_R: Float[Tensor, " R"] = weight_BT.flatten()[place_R].to(device)
    return LossOut((nll_R * weight_R).sum(), {"token_accuracy": (right_R * weight_R).sum()})


def response_logits(model: PreTrainedModel, padded: Padded, place_R: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
    """Logits at flat positions of the B x (T - 1) shifted rectangle; all other positions skip the vocabulary."""
    ids_BT, mask_BT = padded.ids_BT[:, :-1].to(model.device), padded.mask_BT[:, :-1].to(model.device)
    if model.config.model_type not in PLAIN_HEADS:
        logits_BTV: Float[Tensor, "B T V"] = model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits
        return logits_BTV.flatten(0, 1).index_select(0, place_R)
    body = cast(PreTrainedModel, model.base_model)
    hidden_BTH: Float[Tensor, "B T H"] = body(
        input_ids=ids_BT, attention_mask=mask_BT, use_cache=False
    ).last_hidden_state
    head = cast(nn.Module, model.get_output_embeddings())
    return head(hidden_BTH.flatten(0, 1).index_select(0, place_R))


def examples_of(rows: Sequence[Mapping[str, str | float]]) -> list[Example]:
    """Training rows from kept ledger rows (question, response, weight, seed)."""
    return [Example(str(row["question"]), str(row["response"]), float(row["weight"]), str(row["seed"])) for row in rows]
