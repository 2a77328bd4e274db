"""Pairs trained per second: our reward training against TRL's RewardTrainer, on RMB's lengths.

Peers    TRL in three forms, batches of 8 pairs padded to their longest side, as many of them accumulated as an update needs:
         default   random order and activations recomputed, as it comes, but for the dtype
         kept      the same with gradient_checkpointing=False
         grouped   kept, and pairs of like lengths in a batch: all timed pairs in order of their longer side, which is what
                   train_sampling_strategy="group_by_length" makes inside 50 updates. The strongest: `peer`
Ours     reward/train.py's own updates (layout=auto) under core.trainer.Trainer
Input    RMB's pairs where $SKYLOOM_DATA holds them, with a BPE learnt from them; else random ids of like lengths. Pairs with a side above
         1,024 tokens are left out on all sides, as TRL does
Equal    pairs and pairs an update, random Llama and its weights, float32, AdamW, clipping, constant rate, threads
Measured the loop from its first update to its last one, without model building, tokenising and checkpoints; variants in turn
Checked  `default` and `kept` see our order, so the loss of every update must be ours within 1e-3
Run      python benchmarks/reward_train.py [--quick] [--pairs N] [--repeats N] [--threads N]
Shapes   N pairs
"""

import argparse
import copy
import json
import os
import random
import statistics
import tempfile
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers
import trl
from _trl import Clock, Run, now
from transformers import LlamaForSequenceClassification, PreTrainedTokenizerFast
from transformers.trainer_pt_utils import get_length_grouped_indices

from skyloom.core.errors import BadRow
from skyloom.core.llm.backbones import pad_id, train_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import Raw
from skyloom.core.rng import stream
from skyloom.core.trainer import Trainer
from skyloom.reward import train
from skyloom.reward.encoding import Encoder
from skyloom.reward.layout import Group, Layout, saved, size
from skyloom.reward.model import RewardModel, new_reward_model
from skyloom.reward.records import Pair, prompt_text
from skyloom.reward.settings import TrainConfig
from skyloom.reward.sources import rmb

MAX_LENGTH = 1024
BATCH = 8
"""TRL's default pairs of a batch."""
SEED = 20260102
POOL = 600
"""Pairs whose lengths are counted, before over-long ones go; the timed ones are the first of them."""
PROMPT, REPLY = (3.7, 1.2), (5.6, 0.75)
"""Mean and deviation of log tokens of RMB's prompts and replies, rounded."""
LR = 1e-4


def real_pairs(folder: Path) -> list[Pair]:
    found: list[Pair] = []
    for raw in rmb.rows(rmb.Config(path=folder, as_train=True), 0):
        try:
            found += [rmb.to_record(raw.data)] if isinstance(raw, Raw) else []
        except BadRow:
            continue
    return random.Random(SEED).sample(found, min(POOL, len(found)))


def prepared(vocab: int) -> tuple[list[Group], PreTrainedTokenizerFast, str]:
    """Token groups of pairs that fit, their tokenizer, and what they are."""
    folder = Path(os.environ.get("SKYLOOM_DATA", "")) / "pref" / "rmb" / "Pairwise_set"
    groups: list[Group] = []
    if os.environ.get("SKYLOOM_DATA") and folder.is_dir():
        pairs = real_pairs(folder)
        tokenizer = train_tokenizer(
            (text for p in pairs for text in (prompt_text(p.prompt), p.chosen, p.rejected)), vocab
        )
        encoder = Encoder(tokenizer, MAX_LENGTH, "drop")
        for pair in pairs:
            try:
                groups.append(encoder(pair.prompt, (pair.chosen, pair.rejected)).group)
            except BadRow:
                continue
        return (
            groups,
            tokenizer,
            f"RMB, {len(pairs) - len(groups)} of {len(pairs)} pairs above {MAX_LENGTH} tokens left out",
        )
    words = ["".join(random.Random(k).choices("etaoinshrdlu", k=6)) for k in range(4000)]
    tokenizer = train_tokenizer(words, vocab)
    rng = stream(SEED, "reward_train")
    while len(groups) < POOL:
        lengths = [max(4, round(rng.lognormal(*shape))) for shape in (PROMPT, REPLY, REPLY)]
        ids = [rng.integers(10, len(tokenizer), length).tolist() for length in lengths]
        if lengths[0] + max(lengths[1:]) <= MAX_LENGTH:
            groups.append(Group(ids[0], ids[1:]))
    return groups, tokenizer, "made up to RMB's lengths"


def longest(group: Group) -> int:
    return group.longest


def padded(groups: list[Group]) -> int:
    """Tokens that TRL reads for these pairs in this order."""
    parts = (groups[start : start + BATCH] for start in range(0, len(groups), BATCH))
    return sum(2 * len(part) * max(map(longest, part)) for part in parts)


def count(groups: list[Group], update: int, width: int) -> None:
    """The table of tokens that each way reads, over whole updates of the pool."""
    some = groups[: len(groups) // update * update]
    lengths = [len(row) for group in some for row in group.rows]
    real = sum(lengths)
    grouped = get_length_grouped_indices(
        [group.longest for group in some], update, len(some) // update, torch.Generator()
    )
    parts = [np.arange(start, start + update) for start in range(0, len(some), update)]
    print(f"median side {statistics.median(lengths):.0f} tokens, median prompt {statistics.median(len(g.prefix) for g in some):.0f}; "
          f"shared prompts save {saved(some, width):.0%} of the cost")  # fmt: skip
    table = {
        "real tokens": real,
        "TRL, random order": padded(some),
        "TRL, length-grouped": padded([some[k] for k in grouped]),
    }
    for layout in ("padded", "shared", "flat"):
        batches = [batch for part in parts for batch in train.cut(some, part, layout, TrainConfig())]
        name = f"ours, {layout}, {len(some) / len(batches):.1f} pairs a batch"
        table[name] = sum(size([some[int(k)] for k in batch], layout) for batch in batches)
    for name, read in table.items():
        print(f"  {name:36} {read:10,} {read / real:6.2f}")


def ours(model: RewardModel, groups: list[Group], config: TrainConfig, tokenizer: PreTrainedTokenizerFast) -> Run:
    """The updates of reward/train.py, in the order in which the pairs are given."""
    samples = [train.Sample(group, 1.0, 1.0, 0.0, str(k)) for k, group in enumerate(groups)]
    model = copy.deepcopy(model)
    with tempfile.TemporaryDirectory() as folder:
        work = train.Work(samples, samples, tokenizer, config, Path(folder))
        layout: Layout = train.layout_for(model, work)
        parts = [np.arange(start, start + config.batch_pairs) for start in range(0, len(groups), config.batch_pairs)]
        losses: list[float] = []
        trainer = Trainer(model, config.optim, total_steps=len(parts), workdir=work.out)
        loss_fn = train.loss_fn_of(model, layout, pad_id(tokenizer), config, reading=False)
        began = ended = (0.0, 0.0)
        for index in trainer.steps():
            began = began if index else now()
            micro = [[samples[int(k)] for k in part] for part in train.cut(groups, parts[index], layout, config)]
            losses.append(trainer.step(micro, loss_fn, config.batch_pairs).loss)
            ended = now()  # before the checkpoint, which follows the last one
    return Run(ended[0] - began[0], ended[1] - began[1], losses)


def peer(
    model: RewardModel, groups: list[Group], update: int, tokenizer: PreTrainedTokenizerFast, recompute: bool
) -> Run:
    shape = copy.deepcopy(model.backbone.config)
    shape.num_labels = 1
    classifier = LlamaForSequenceClassification(shape)
    classifier.model.load_state_dict(model.backbone.state_dict())
    classifier.score.load_state_dict(model.head.state_dict())
    columns = {name: [group.rows[side] for group in groups] for side, name in enumerate(("chosen_ids", "rejected_ids"))}
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = trl.RewardConfig(
            folder, per_device_train_batch_size=BATCH, gradient_accumulation_steps=update // BATCH, num_train_epochs=1,
            gradient_checkpointing=recompute, bf16=False, use_cpu=True, max_length=MAX_LENGTH, learning_rate=LR,
            lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, logging_steps=1, save_strategy="no",
            report_to="none", disable_tqdm=True, train_sampling_strategy="sequential", seed=0,
        )  # fmt: skip
        trainer = trl.RewardTrainer(
            classifier,
            settings,
            train_dataset=datasets.Dataset.from_dict(columns),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return clock.run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    given = parser.parse_args()
    quick = given.quick
    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    update = 8 if quick else 32
    pairs, repeats = given.pairs or (16 if quick else 128), given.repeats or (2 if quick else 3)
    if pairs % update:
        parser.error(f"--pairs must be a multiple of {update}")
    backbone = BackboneConfig(
        hidden=192 if quick else 320,
        layers=2 if quick else 7,
        heads=3 if quick else 5,
        max_length=MAX_LENGTH,
        vocab=8192,
    )
    pool, tokenizer, told = prepared(backbone.vocab)
    model = new_reward_model(backbone, tokenizer, seed=0)
    optim = TrainerConfig(
        lr=LR, weight_decay=0.0, betas=(0.9, 0.999), schedule="constant", warmup_ratio=0.0, threads=given.threads
    )
    config = TrainConfig(backbone=backbone, optim=optim, batch_pairs=update)
    millions = sum(weight.numel() for weight in model.parameters()) / 1e6
    print(
        f"TRL {trl.__version__}, transformers {transformers.__version__}, {given.threads} threads; Llama of {millions:.1f}M; {told}"
    )
    count(pool, update, model.width)
    groups = pool[:pairs]
    in_order = sorted(groups, key=longest, reverse=True)
    variants = {
        "skyloom": lambda: ours(model, groups, config, tokenizer),
        "TRL default": lambda: peer(model, groups, update, tokenizer, recompute=True),
        "TRL kept": lambda: peer(model, groups, update, tokenizer, recompute=False),
        "TRL grouped": lambda: peer(model, in_order, update, tokenizer, recompute=False),
    }
    runs: dict[str, list[Run]] = {name: [] for name in variants}
    for _ in range(repeats):  # in turns: other load on the machine strikes all
        for name, variant in variants.items():
            runs[name].append(variant())
    for name in ("TRL default", "TRL kept"):
        worst = max(abs(a - b) for a, b in zip(runs["skyloom"][0].losses, runs[name][0].losses, strict=True))
        print(f"largest difference of an update's loss from {name}: {worst:.1e} over {pairs // update} updates")
        assert worst < 1e-3, "the two learn something else"
    ratios: dict[str, float] = {}
    for name, found in runs.items():
        each = [run.seconds / mine.seconds for run, mine in zip(found, runs["skyloom"], strict=True)]
        ratios[name] = statistics.median(each)
        in_cpu = statistics.median(run.cpu / mine.cpu for run, mine in zip(found, runs["skyloom"], strict=True))
        speed = pairs / statistics.median(run.seconds for run in found)
        print(f"{name:12} {speed:7.2f} pairs/s   ours is {ratios[name]:5.2f} times as fast ({in_cpu:.2f} in CPU time; "
              f"repeats {', '.join(f'{ratio:.2f}' for ratio in each)})")  # fmt: skip
    mine, theirs = (pairs / statistics.median(run.seconds for run in runs[name]) for name in ("skyloom", "TRL grouped"))
    print(json.dumps({"name": "reward_train", "ours": round(mine, 3), "peer": round(theirs, 3),
                      "ratio": round(ratios["TRL grouped"], 3), "against_default": round(ratios["TRL default"], 3),
                      "unit": f"pairs/s against TRL {trl.__version__}, length-grouped", "repeats": repeats}))  # fmt: skip


if __name__ == "__main__":
    main()
