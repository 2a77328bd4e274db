"""Training a reward model: pairs in, the checkpoint that is best on validation prompts out, calibrated on the same prompts.

Formula  each update: weighted mean loss of `batch_pairs` pairs drawn uniformly, cut into micro-batches under a token budget, plus
         language_weight * mean next-token cross-entropy of the chosen conversations
Source   Skywork-Reward (arXiv 2410.18451): Bradley-Terry, AdamW, cosine, 2 epochs; the second term is GRM's (arXiv 2406.10216);
         LoRA: Hu et al. 2021
Flow     collect -> curate -> [train] -> evaluate -> report
Layout   model/ (a standard sequence classifier, reward.json, calibration.json, laplace.safetensors)  counts.json  held_out.parquet
         metrics.jsonl
Run      skyloom run skywork_reward --smoke
Shapes   N pairs, B pairs of a micro-batch, T tokens, V vocabulary, D hidden width
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from skyloom.core import distributed, registry
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.llm.adapters import add_adapter, merge_adapter
from skyloom.core.llm.attention import FLASH
from skyloom.core.llm.backbones import load_tokenizer, pad_id
from skyloom.core.llm.packing import batch_tokens
from skyloom.core.losses import LossOut
from skyloom.core.records import from_row, split_key, to_row
from skyloom.core.rng import stream
from skyloom.core.store import write_json, write_parquet
from skyloom.core.trainer import Trainer
from skyloom.reward import calibrate, laplace
from skyloom.reward.encoding import Encoder
from skyloom.reward.layout import Batch, Group, Layout, arrange, choose, plan, saved, size
from skyloom.reward.losses._pairs import PairLossConfig, PairScores
from skyloom.reward.model import RewardModel, new_reward_model, save_reward_model
from skyloom.reward.records import Pair, prompt_text
from skyloom.reward.score import ABOUT, forward_groups, layouts_of, takes
from skyloom.reward.settings import TrainConfig

MODEL: str = "model"
COUNTS: str = "counts.json"
HELD_OUT: str = "held_out.parquet"


class Example(NamedTuple):
    """A pair with what the ledger says of it."""

    pair: Pair
    weight: float
    label: float
    """Probability that the chosen side is the better one."""
    name: str
    """What `skyloom why` takes, or the place in the data."""


class Sample(NamedTuple):
    """A pair as tokens: what a micro-batch is made of."""

    group: Group
    weight: float
    label: float
    gap: float
    """The source's score of the chosen side minus that of the rejected one; 0 where it has none."""
    name: str


class Slices(NamedTuple):
    """Pairs by what they are for; no prompt stands in two of them."""

    train: list[Example]
    valid: list[Example]
    held_out: list[Example]


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
    truncated: int
    """Pairs whose prompt was cut at the left."""
    updates: int
    best_update: int
    tokens: int
    """Tokens of one pass, both sides, without padding, prompts counted for each side."""
    read: int
    """Tokens that the machine reads in one pass: padding counted, shared prompts once."""
    layout: Layout
    saved: float
    """Share of the cost that shared prompts save on these lengths, whether used or not."""
    weights: int
    """Parameters of the model."""
    trained_weights: int
    """Parameters that were trained: fewer with an adapter."""


class Work(NamedTuple):
    """All that a training process needs."""

    training: list[Sample]
    valid: list[Sample]
    tokenizer: PreTrainedTokenizerBase
    config: TrainConfig
    out: Path


class _Fitted(NamedTuple):
    """What a training process returns."""

    model: RewardModel | None
    """None from a group of processes, none of which holds all of it."""
    updates: int
    best: int
    layout: Layout
    read: int


def train(kept: pl.DataFrame, config: TrainConfig, out: Path) -> Counts:
    """Train on curated pairs and write the layout above; resumes from what an interrupted call left in `out`.

    Raises BadInput for settings or data that cannot train, FailedWork where the loss diverges or the disk is full.
    """
    _check(config)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BadInput(
            "train: started by torchrun, every process would write the same files; start one, with train.optim.processes=N"
        )
    slices = carve(_examples(kept), config)
    corpus = (
        text for each in slices.train for text in (prompt_text(each.pair.prompt), each.pair.chosen, each.pair.rejected)
    )
    tokenizer = load_tokenizer(config.backbone, corpus)
    encoder = Encoder(tokenizer, config.backbone.max_length, config.over_long)
    left_out: Counter[str] = Counter()
    training, valid = (_encoded(encoder, part, left_out) for part in (slices.train, slices.valid))
    truncated = left_out.pop(_TRUNCATED, 0)
    _refuse_unweighted(config, [*training, *valid])
    if not training or len(valid) < 2:  # two are what a temperature is fitted to
        raise BadInput(
            f"training: {len(training)} pairs to train on and {len(valid)} to validate on; need one and two at least"
        )
    work = Work(training, valid, tokenizer, config, out)
    fitted = distributed.spawn(config.optim.processes, _fit, work)
    model = fitted.model or _restored(work, fitted.updates)
    weights, trained_weights = _sizes(model)
    merge_adapter(model.cpu().eval())
    save_reward_model(model, tokenizer, out / MODEL)
    _describe(model, encoder, work, fitted.layout, out / MODEL)
    if slices.held_out:
        rows = [to_row(each.pair) for each in slices.held_out]
        write_parquet(out / HELD_OUT, pl.DataFrame(rows, infer_schema_length=None))
    counts = Counts(
        pairs=kept.height,
        trained=len(training),
        valid=len(valid),
        held_out=len(slices.held_out),
        left_out=dict(sorted(left_out.items())),
        truncated=truncated,
        updates=fitted.updates,
        best_update=fitted.best,
        tokens=sum(len(row) for sample in training for row in sample.group.rows),
        read=fitted.read,
        layout=fitted.layout,
        saved=round(saved((sample.group for sample in training), model.width), 4),
        weights=weights,
        trained_weights=trained_weights,
    )
    write_json(out / COUNTS, asdict(counts))
    return counts


def carve(examples: Sequence[Example], config: TrainConfig) -> Slices:
    """Split by prompt: a hash of the seed and the prompt decides, so adding pairs moves no other pair."""
    slices = Slices([], [], [])
    for each in examples:
        key = f"{config.seed}\x1f{' '.join(prompt_text(each.pair.prompt).casefold().split())}"
        place = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) / 2**64
        if place < config.held_out_share:
            slices.held_out.append(each)
        elif place < config.held_out_share + config.valid_share:
            slices.valid.append(each)
        else:
            slices.train.append(each)
    return slices


def next_token_loss(
    model: RewardModel, hidden_BTD: Float[Tensor, "B T D"], batch: Batch, pairs: int
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the next token over the chosen rows (every second one of a padded batch), through the tied embeddings.

    The mean is taken in each row first, so that it does not depend on how pairs fall into micro-batches.
    """
    if not model.backbone.config.tie_word_embeddings:
        raise BadInput(
            "train.language_weight: this backbone's output matrix is not tied to its embeddings; set it to 0"
        )
    mask_BT = cast(Tensor, batch.mask_BT)[::2, 1:]
    logits_KV = hidden_BTD[::2, :-1][mask_BT] @ cast(Tensor, model.backbone.get_input_embeddings().weight).T
    nll_K = cross_entropy(logits_KV.float(), batch.ids_BT[::2, 1:][mask_BT], reduction="none")
    length_B = mask_BT.sum(dim=1)
    return (nll_K / length_B.repeat_interleave(length_B)).sum() / pairs


def _check(config: TrainConfig) -> None:
    shares = config.valid_share > 0 and config.held_out_share >= 0 and config.valid_share + config.held_out_share < 1
    reads = bool(config.language_weight or config.language_epochs)
    flash = config.backbone.attention == FLASH
    rules = (
        (shares, "valid_share must be above 0, held_out_share 0 or more, and both together below 1"),
        (config.epochs >= 1 and config.evaluations >= 1, "epochs and evaluations must be at least 1"),
        (config.batch_pairs >= 1, "batch_pairs must be at least 1"),
        (config.budget >= 2 * config.backbone.max_length, "budget must be at least twice backbone.max_length"),
        (min(config.language_weight, config.language_epochs) >= 0, "language_weight and language_epochs must be 0 or more"),
        (not reads or config.layout in ("auto", "padded"), "language_weight needs layout=padded"),
        (not flash or "bfloat16" in (config.optim.dtype, config.backbone.dtype),
            "flash_attention_2 has no float32 kernels; set optim.dtype=bfloat16"),
        (not reads or config.adapter is None, "language_weight needs all weights trained; set adapter to none"),
    )  # fmt: skip
    for holds, rule in rules:
        if not holds:
            raise BadInput(f"train: {rule}")


def _refuse_unweighted(config: TrainConfig, samples: Sequence[Sample]) -> None:
    """A loss of somebody's own may know nothing of weights and labels; then it must not be given any."""
    plain = all(sample.weight == 1 and sample.label == 1 for sample in samples)
    if not plain and not isinstance(config.loss, PairLossConfig):
        raise BadInput(
            f"train: curation gave weights or soft labels, which the loss {registry.plugin_of(config.loss).name} does not take; "
            "use one of the built-in losses, or keep and drop instead"
        )


_TRUNCATED: str = "\0truncated"


def _examples(kept: pl.DataFrame) -> list[Example]:
    """Rows of the ledger; one that curation gave no weight at all teaches nothing and is left to the counts of curation."""
    found: list[Example] = []
    for place, row in enumerate(kept.iter_rows(named=True)):
        if "row" in row and "source" in row:
            _, shard, ordinal = split_key(row["row"])
            name = f"{row['source']}:{shard}:{ordinal}"
        else:
            name = f"pair {place}"
        if row["weight"] > 0:
            found.append(Example(from_row(Pair, row), float(row["weight"]), float(row["label"]), name))
    return found


def _encoded(encoder: Encoder, examples: Sequence[Example], left_out: Counter[str]) -> list[Sample]:
    """Token ids of the pairs that fit; the others are counted by reason."""
    found: list[Sample] = []
    for pair, weight, label, name in examples:
        try:
            encoded = encoder(pair.prompt, (pair.chosen, pair.rejected))
        except BadRow as error:
            left_out[error.reason if "longer than" in error.reason else f"not encodable: {error.reason}"] += 1
            continue
        except BadInput as error:
            raise BadInput(f"training: {name}: {error}") from error
        left_out[_TRUNCATED] += encoded.cut > 0
        gap = (
            pair.score_chosen - pair.score_rejected
            if pair.score_chosen is not None and pair.score_rejected is not None
            else 0.0
        )
        found.append(Sample(encoded.group, weight, label, gap, name))
    return found


def _fit(work: Work) -> _Fitted:
    """The loop itself, in one process or in each of several; ends with the best checkpoint's weights."""
    config = work.config
    model = _model(work)
    layout = layout_for(model, work)
    groups = [sample.group for sample in work.training]
    steps = [
        (step, epoch < config.language_epochs)
        for epoch in range(config.language_epochs + config.epochs)
        for step in steps_of(groups, layout, config, epoch)
    ]
    optim = config.optim
    model = distributed.shard(model, distributed.blocks_of(model.backbone), _place(config), optim.dtype)
    trainer = Trainer(model, optim, total_steps=len(steps), workdir=work.out)
    every = max(1, len(steps) // config.evaluations)
    for index in trainer.steps("training"):
        step, reading = steps[index]
        micro_batches = [[work.training[int(k)] for k in index_B] for index_B in step]
        weight = sum(sample.weight for batch in micro_batches for sample in batch)
        loss_fn = loss_fn_of(model, layout, pad_id(work.tokenizer), config, reading=reading)
        trainer.step(micro_batches, loss_fn, weight, _named)
        if not reading and ((index + 1) % every == 0 or index + 1 == len(steps)):
            accuracy, nll = _validated(*_score(model, work.valid, layout, work), work.valid)
            trainer.record({"valid.accuracy": accuracy, "valid.nll": nll}, score=accuracy)
    best = trainer.load_best()
    one_pass = steps_of(groups, layout, config, config.language_epochs)
    read = sum(size([groups[int(k)] for k in index_B], layout) for step in one_pass for index_B in step)
    return _Fitted(model if distributed.world() == 1 else None, len(steps), best, layout, read)


def _model(work: Work) -> RewardModel:
    """The model before its first update: every process makes the same one."""
    config = work.config
    model = new_reward_model(config.backbone, work.tokenizer, config.seed)
    if config.adapter is not None:
        add_adapter(model.backbone, config.adapter, config.seed)
    if config.recompute:
        backbone = model.backbone
        enable = getattr(backbone, "activation_checkpointing_enable", None)  # its name since transformers 5.23
        (enable or backbone.gradient_checkpointing_enable)({"use_reentrant": False})
    return model


def _restored(work: Work, updates: int) -> RewardModel:
    """The best checkpoint of a group of processes, whole again in this one."""
    model = _model(work)
    optim = replace(work.config.optim, processes=1, device="cpu")
    Trainer(model, optim, total_steps=updates, workdir=work.out).load_best()
    return model


def layout_for(model: RewardModel, work: Work) -> Layout:
    """What the settings name, or what costs least on these lengths, this backbone and its device."""
    config = work.config
    reads = bool(config.language_weight or config.language_epochs)  # looks at whole rows
    if config.layout == "padded" or reads:
        return "padded"
    flash = config.backbone.attention == FLASH  # runs on a GPU alone, and the model is not there yet
    if config.layout != "auto":
        if not (flash and config.layout == "flat") and not takes(model, config.layout, config.backbone.max_length):
            raise BadInput(
                f"train: layout={config.layout}: this backbone or its attention does not tell conversations of one row apart; "
                "set layout=auto"
            )
        return config.layout
    if flash or _place(config) is not None:
        return "flat" if flash else "padded"
    groups = [sample.group for sample in work.training]
    return choose(groups, model.width, layouts_of(model, config.backbone.max_length))


def steps_of(groups: Sequence[Group], layout: Layout, config: TrainConfig, epoch: int) -> list[list[np.ndarray]]:
    """One epoch as updates of `batch_pairs` pairs drawn uniformly, each cut into micro-batches."""
    order_N = stream(config.seed, "steps", str(epoch)).permutation(len(groups))
    parts = [order_N[start : start + config.batch_pairs] for start in range(0, len(groups), config.batch_pairs)]
    return [cut(groups, part, layout, config) for part in parts]


def cut(groups: Sequence[Group], index_N: np.ndarray, layout: Layout, config: TrainConfig) -> list[np.ndarray]:
    """The micro-batches of one update: like lengths together, as many tokens as the budget and the device take."""
    most = batch_tokens(config.budget, _place(config) or torch.device("cpu"))
    return plan(groups, index_N, layout, max(most, *(size([groups[int(k)]], layout) for k in index_N)))


def _place(config: TrainConfig) -> torch.device | None:
    return torch.device("cuda") if config.optim.device != "cpu" and torch.cuda.is_available() else None


def _named(batch: Sequence[Sample]) -> str:
    """A micro-batch in an error message."""
    shown = ", ".join(sample.name for sample in batch[:4])
    return shown if len(batch) <= 4 else f"{shown} and {len(batch) - 4} more"


def _score(model: RewardModel, samples: Sequence[Sample], layout: Layout, work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both sides; the model is left in eval mode, and the trainer's next step puts it back."""
    model.eval()
    groups = [sample.group for sample in samples]
    with _as_trained(work.config):
        found = np.stack(forward_groups(model, groups, model, layout, work.config.budget, pad_id(work.tokenizer)))
    return found[:, 0], found[:, 1]


def _as_trained(config: TrainConfig) -> torch.autocast:
    """FlashAttention has no float32 kernels: weights of that type are scored under autocast, as they are trained."""
    half = config.backbone.attention == FLASH and config.backbone.dtype == "float32"
    return torch.autocast("cuda" if half else "cpu", torch.bfloat16, enabled=half)


def _validated(chosen_N: np.ndarray, rejected_N: np.ndarray, samples: Sequence[Sample]) -> tuple[float, float]:
    """Accuracy (a tie is wrong) and nats a pair, by the ledger's labels and weights; a label of l is right with probability l."""
    weight_N, label_N = np.asarray([(sample.weight, sample.label) for sample in samples]).T
    right_N = label_N * (chosen_N > rejected_N) + (1 - label_N) * (rejected_N > chosen_N)
    gap_N = chosen_N - rejected_N
    nll_N = label_N * np.logaddexp(0, -gap_N) + (1 - label_N) * np.logaddexp(0, gap_N)
    return float(np.average(right_N, weights=weight_N)), float(np.average(nll_N, weights=weight_N))


def loss_fn_of(
    model: RewardModel, layout: Layout, pad: int, config: TrainConfig, *, reading: bool
) -> Callable[[Sequence[Sample]], LossOut]:
    """The loss of one micro-batch as sums over its pairs; `reading` takes the next-token loss alone."""
    reward_loss: Callable[..., LossOut] = registry.module_of(config.loss).loss

    def loss_fn(samples: Sequence[Sample]) -> LossOut:
        batch = arrange([sample.group for sample in samples], layout, pad).to(model.device)
        hidden_BTD = model.hidden(batch)
        scores_K = model.pooled(hidden_BTD, batch)
        told = torch.tensor([(s.weight, s.label, s.gap) for s in samples], device=model.device).unbind(1)
        out = reward_loss(PairScores(scores_K[::2], scores_K[1::2], *told), config.loss)
        if reading or config.language_weight:
            tokens = next_token_loss(model, hidden_BTD, batch, len(samples))
            metrics = {**out.metrics, "reward_loss": out.loss.detach(), "next_token": tokens.detach()}
            out = LossOut(tokens if reading else out.loss + config.language_weight * tokens, metrics)
        return out.summed(sum(sample.weight for sample in samples))

    return loss_fn


def _sizes(model: RewardModel) -> tuple[int, int]:
    weights = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(count for count, _ in weights), sum(count for count, learns in weights if learns)


def _describe(model: RewardModel, encoder: Encoder, work: Work, layout: Layout, folder: Path) -> None:
    """reward.json, and, from the validation prompts, the calibration and the head's posterior."""
    config = work.config
    about = {**encoder.checks, "max_length": encoder.max_length, "over_long": encoder.over_long}
    write_json(folder / ABOUT, {**about, "loss": registry.plugin_of(config.loss).name, "pairs": len(work.training)})
    model.to(_place(config) or torch.device("cpu"))
    read = partial(forward_groups, model, layout=layout, budget=config.budget, pad=pad_id(work.tokenizer))
    with _as_trained(config):
        valid = np.stack(read([sample.group for sample in work.valid], model))
    label_N = np.asarray([sample.label for sample in work.valid])
    weight_N = np.asarray([sample.weight for sample in work.valid])
    if not np.ptp(valid):
        return  # every score the same: there is nothing to calibrate, and the evaluation will say so
    calibration = calibrate.fit(valid[:, 0], valid[:, 1], label_N, weight_N)
    calibration.save(folder / calibrate.FILE)
    if config.posterior_pairs:
        order_N = stream(config.seed, "posterior").permutation(len(work.training))[: config.posterior_pairs]
        some = [work.training[int(k)] for k in order_N]
        with _as_trained(config):
            features = read([sample.group for sample in some], model.features)
        gaps_ND = np.stack([feature_2D[0] - feature_2D[1] for feature_2D in features])
        head_D = model.head.weight[0].detach().cpu().double().numpy()
        stands_for = len(work.training) / len(some)  # each drawn pair brings the information of so many
        weight_N = np.asarray([sample.weight * stands_for for sample in some])
        posterior = laplace.fit([gaps_ND], head_D, temperature=calibration.temperature, weight_N=weight_N)
        posterior.save(folder / laplace.FILE)
