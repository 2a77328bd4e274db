"""Training a reward model: pairs in, the checkpoint that is best on validation prompts out.

Formula  each update: mean loss of `batch_pairs` pairs drawn uniformly, cut into micro-batches under a token budget, plus
         language_weight * mean next-token cross-entropy of the chosen conversations
Source   Skywork-Reward (arXiv 2410.18451): Bradley-Terry, AdamW, cosine, 2 epochs; the second term is GRM's (arXiv 2406.10216)
Flow     collect -> curate -> [train] -> evaluate -> report
Layout   model/ (Hugging Face directory + head)  counts.json  held_out.parquet  metrics.jsonl
Run      skyloom run skywork_reward --smoke
Shapes   N pairs, B pairs of a micro-batch, T tokens, V vocabulary
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import polars as pl
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from skyloom.core import registry
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.llm.backbones import load_backbone, load_tokenizer
from skyloom.core.llm.packing import Padded, plan_steps
from skyloom.core.losses import LossOut
from skyloom.core.records import from_row, to_row
from skyloom.core.rng import derive
from skyloom.core.store import write_json, write_parquet
from skyloom.core.trainer import Trainer
from skyloom.reward.model import (
    PairScores,
    RewardModel,
    SideIds,
    encode,
    pad_id_of,
    pad_sides,
    save_reward_model,
    score_sides,
)
from skyloom.reward.records import Pair, prompt_text
from skyloom.reward.settings import TrainConfig

MODEL: str = "model"
COUNTS: str = "counts.json"
HELD_OUT: str = "held_out.parquet"


class Slices(NamedTuple):
    """Pairs by what they are for; no prompt stands in two of them."""

    train: list[Pair]
    valid: list[Pair]
    held_out: list[Pair]


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """counts.json: what became of every pair that training was given."""

    pairs: int
    """Pairs given."""
    trained: int
    valid: int
    held_out: int
    left_out: dict[str, int]
    """Reason -> pairs that could not be encoded or are too long, over the training and validation slices."""
    updates: int
    best_update: int
    tokens: int
    """Tokens of one pass, both sides, without padding."""
    weights: int
    """Parameters of the model."""


def train(kept: pl.DataFrame, config: TrainConfig, out: Path) -> Counts:
    """Train on curated pairs and write the layout above; resumes from what an interrupted call left in `out`.

    Raises BadInput for settings or data that cannot train, FailedWork where the loss diverges.
    """
    _check(config, kept)
    slices = carve([from_row(Pair, row) for row in kept.iter_rows(named=True)], config)
    corpus = (text for pair in slices.train for text in (prompt_text(pair.prompt), pair.chosen, pair.rejected))
    tokenizer = load_tokenizer(config.backbone, corpus)
    left_out: Counter[str] = Counter()
    training, valid = (_encoded(tokenizer, part, config, left_out) for part in (slices.train, slices.valid))
    if not training or not valid:
        raise BadInput(
            f"training: {len(training)} pairs to train on and {len(valid)} to validate on; need one of each at least"
        )
    model = RewardModel(load_backbone(config.backbone, tokenizer, "none", derive(config.seed, "init")), config.seed)
    updates, best = _fit(model, training, valid, pad_id_of(tokenizer), config, out)
    save_reward_model(model.cpu(), tokenizer, out / MODEL)
    counts = Counts(
        pairs=kept.height,
        trained=len(training),
        valid=len(valid),
        held_out=len(slices.held_out),
        left_out=dict(sorted(left_out.items())),
        updates=updates,
        best_update=best,
        tokens=sum(len(side.chosen) + len(side.rejected) for side in training),
        weights=sum(parameter.numel() for parameter in model.parameters()),
    )
    if slices.held_out:
        write_parquet(
            out / HELD_OUT, pl.DataFrame([to_row(pair) for pair in slices.held_out], infer_schema_length=None)
        )
    write_json(out / COUNTS, asdict(counts))
    return counts


def carve(pairs: Sequence[Pair], config: TrainConfig) -> Slices:
    """Split by prompt: a hash of the seed and the prompt decides, so adding pairs moves no other pair."""
    slices = Slices([], [], [])
    for pair in pairs:
        key = f"{config.seed}\x1f{' '.join(prompt_text(pair.prompt).casefold().split())}"
        place = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) / 2**64
        if place < config.held_out_share:
            slices.held_out.append(pair)
        elif place < config.held_out_share + config.valid_share:
            slices.valid.append(pair)
        else:
            slices.train.append(pair)
    return slices


def _check(config: TrainConfig, kept: pl.DataFrame) -> None:
    if not kept.select((pl.col("weight") == 1).all() & (pl.col("label") == 1).all()).item():
        raise BadInput(
            "train: curation gave weights or soft labels, which this trainer does not use; keep or drop instead"
        )
    shares = config.valid_share > 0 and config.held_out_share >= 0 and config.valid_share + config.held_out_share < 1
    rules = (
        (shares, "valid_share must be above 0, held_out_share 0 or more, and both together below 1"),
        (config.epochs >= 1 and config.evaluations >= 1, "epochs and evaluations must be at least 1"),
        (config.batch_pairs >= 1, "batch_pairs must be at least 1"),
        (config.budget >= 2 * config.backbone.max_length, "budget must be at least twice backbone.max_length"),
        (
            min(config.language_weight, config.language_epochs) >= 0,
            "language_weight and language_epochs must be 0 or more",
        ),
    )
    for holds, rule in rules:
        if not holds:
            raise BadInput(f"train: {rule}")


def _encoded(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], config: TrainConfig, left_out: Counter[str]
) -> list[SideIds]:
    """Token ids of the pairs that fit; the others are counted by reason."""
    found: list[SideIds] = []
    for pair in pairs:
        try:
            side = encode(tokenizer, pair)
        except BadRow as error:
            left_out[f"not encodable: {error.reason}"] += 1
            continue
        if side.longest <= config.backbone.max_length:
            found.append(side)
        elif config.over_long == "drop":
            left_out[f"longer than {config.backbone.max_length} tokens"] += 1
        else:
            raise BadInput(
                f"training: a pair has {side.longest} tokens, more than backbone.max_length={config.backbone.max_length}; "
                "raise it, or set train.over_long=drop to leave such pairs out"
            )
    return found


def _fit(
    model: RewardModel,
    training: Sequence[SideIds],
    valid: Sequence[SideIds],
    pad_id: int,
    config: TrainConfig,
    out: Path,
) -> tuple[int, int]:
    """(updates made, update whose weights the model ends with)."""
    lengths = np.asarray([2 * side.longest for side in training])
    plan = [
        (step, epoch < config.language_epochs)
        for epoch in range(config.language_epochs + config.epochs)
        for step in plan_steps(lengths, config.batch_pairs, config.budget, config.seed, epoch)
    ]
    trainer = Trainer(model, config.optim, total_steps=len(plan), workdir=out)
    every = max(1, len(plan) // config.evaluations)
    for index in trainer.steps("training"):
        step, reading = plan[index]
        micro_batches = ([training[int(k)] for k in index_B] for index_B in step)
        loss_fn = _loss_fn(model, pad_id, config, reading=reading)
        trainer.step(micro_batches, loss_fn, sum(len(index_B) for index_B in step))
        if not reading and ((index + 1) % every == 0 or index + 1 == len(plan)):
            scores_N2 = score_sides(model, valid, pad_id, config.budget)
            accuracy = float((scores_N2[:, 0] > scores_N2[:, 1]).mean())
            trainer.record({"valid.accuracy": accuracy}, score=accuracy)
    return len(plan), trainer.load_best()


def _loss_fn(
    model: RewardModel, pad_id: int, config: TrainConfig, *, reading: bool
) -> Callable[[Sequence[SideIds]], LossOut]:
    """The loss of one micro-batch as sums over its pairs; `reading` takes the next-token loss alone."""
    reward_loss: Callable[..., LossOut] = registry.module_of(config.loss).loss

    def loss_fn(sides: Sequence[SideIds]) -> LossOut:
        device = next(model.parameters()).device
        batch = Padded(*(part.to(device) for part in pad_sides(sides, pad_id)))
        hidden_BTD = model.hidden(batch.ids_BT, batch.mask_BT)
        scores_B = model.pooled(hidden_BTD, batch.mask_BT)
        out = reward_loss(PairScores(scores_B[: len(sides)], scores_B[len(sides) :]), config.loss)
        if reading or config.language_weight:
            tokens = next_token_loss(model, hidden_BTD[: len(sides)], batch, len(sides))
            metrics = {**out.metrics, "reward_loss": out.loss.detach(), "next_token": tokens.detach()}
            out = LossOut(tokens if reading else out.loss + config.language_weight * tokens, metrics)
        return out.summed(len(sides))

    return loss_fn


def next_token_loss(
    model: RewardModel, hidden_BTD: Float[Tensor, "B T D"], batch: Padded, pairs: int
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the next token over the first `pairs` rows, through the tied embeddings.

    The mean is taken in each row first, so that it does not depend on how pairs fall into micro-batches.
    """
    if not model.backbone.config.tie_word_embeddings:
        raise BadInput(
            "train.language_weight: this backbone's output matrix is not tied to its embeddings; set it to 0"
        )
    mask_BT = batch.mask_BT[:pairs, 1:]
    logits_KV = hidden_BTD[:, :-1][mask_BT] @ cast(Tensor, model.backbone.get_input_embeddings().weight).T
    nll_K = cross_entropy(logits_KV.float(), batch.ids_BT[:pairs, 1:][mask_BT], reduction="none")
    length_B = mask_BT.sum(dim=1)
    return (nll_K / length_B.repeat_interleave(length_B)).sum() / pairs
