"""Tokens trained per second: our supervised fine-tuning against TRL's SFTTrainer, on GSM8K's worked solutions.

Peers    TRL in three forms, batches of 8 rows padded to their longest, as many of them accumulated as an update needs:
         default   random order and activations recomputed, as it comes, but for the dtype
         kept      the same with gradient_checkpointing=False
         grouped   kept, and rows of like lengths in a batch: all timed rows in order of length, which is what
                   train_sampling_strategy="group_by_length" makes inside 50 updates. The strongest: `peer`. Packing needs FlashAttention,
                   which no CPU runs
Ours     mathqa/train.py's own updates (layout=auto) under core.trainer.Trainer
Input    GSM8K's train problems where $SKYLOOM_DATA holds them, with a BPE learnt from them; else random ids of like lengths
Equal    rows and rows an update, the tokens that carry loss, random Llama and its weights, float32, AdamW, clipping, constant rate, threads
Measured real tokens (padding not counted) over the loop from its first update to its last one, without model building, tokenising and
         checkpoints; variants in turn
Checked  `default` and `kept` see our order, so the loss of every update must be ours within 1e-3
Run      python benchmarks/sft.py [--quick] [--rows N] [--repeats N] [--threads N]
"""

import argparse
import copy
import json
import os
import random
import statistics
import tempfile
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers
import trl
from _trl import Clock, Run, now
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from skyloom.core.llm.backbones import load_backbone, pad_id, train_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.packing import plan_steps
from skyloom.core.llm.templates import render_pair
from skyloom.core.optim import TrainerConfig
from skyloom.core.records import Raw
from skyloom.core.rng import stream
from skyloom.core.trainer import Trainer
from skyloom.mathqa.records import MARK, chat
from skyloom.mathqa.settings import TrainConfig
from skyloom.mathqa.sft_loss import batch_loss, cpu_budget, denominator, layout_for, read_tokens
from skyloom.mathqa.sft_rows import Encoded
from skyloom.mathqa.sources import gsm8k

MAX_LENGTH = 512
BATCH = 8
"""TRL's default rows of a batch."""
SEED = 20260103
POOL = 1200
"""Rows whose lengths are counted and whose text the BPE learns; the timed ones are the first of them."""
QUESTION, RESPONSE = (4.0, 0.4), (4.7, 0.5)
"""Mean and deviation of log tokens of GSM8K's questions and solutions, rounded."""
LR = 1e-4


def prepared(vocab: int) -> tuple[list[Encoded], PreTrainedTokenizerFast, str]:
    """Rows that fit, their tokenizer, and what they are."""
    file = Path(os.environ.get("SKYLOOM_DATA", "")) / "math" / "gsm8k" / "train.jsonl"
    if os.environ.get("SKYLOOM_DATA") and file.is_file():
        raws = [raw for raw in gsm8k.rows(gsm8k.Config(path=file), 0) if isinstance(raw, Raw)]
        problems = [gsm8k.to_record(raw.data) for raw in random.Random(SEED).sample(raws, POOL)]
        texts = [(each.question, f"{each.solution}\n{MARK}{each.answer}") for each in problems]
        tokenizer = train_tokenizer((part for text in texts for part in text), vocab)
        found = [render_pair(tokenizer, chat(question), response) for question, response in texts]
        rows = [Encoded(each.ids, each.reply, 1.0) for each in found if len(each.ids) <= MAX_LENGTH]
        return (
            rows,
            tokenizer,
            f"GSM8K, {len(found) - len(rows)} of {len(found)} rows above {MAX_LENGTH} tokens left out",
        )
    words = ["".join(random.Random(k).choices("etaoinshrdlu", k=6)) for k in range(4000)]
    tokenizer = train_tokenizer(words, vocab)
    rng = stream(SEED, "sft")
    rows = []
    while len(rows) < POOL:
        asked, said = (max(4, round(rng.lognormal(*shape))) for shape in (QUESTION, RESPONSE))
        if asked + said <= MAX_LENGTH:
            ids = rng.integers(10, len(tokenizer), asked + said).tolist()
            rows.append(Encoded(ids, [False] * asked + [True] * said, 1.0))
    return rows, tokenizer, "made up to GSM8K's lengths"


def ours(model: PreTrainedModel, rows: list[Encoded], config: TrainConfig, pad: int) -> Run:
    """The updates of mathqa/train.py, in the order in which the rows are given."""
    model = copy.deepcopy(model)
    lengths = [len(row.ids) for row in rows]
    layout = layout_for(model, config, torch.device("cpu"), lengths)
    budget = cpu_budget(config.batch_tokens, lengths, torch.device("cpu"))
    starts = range(0, len(rows), config.batch_rows)
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, config.optim, total_steps=len(starts), workdir=Path(folder))
        began = ended = (0.0, 0.0)
        for index in trainer.steps():
            began = began if index else now()
            some = rows[starts[index] : starts[index] + config.batch_rows]
            (cut,) = plan_steps([len(row.ids) for row in some], len(some), budget, 0, flat=layout == "flat")
            micro = [[some[int(k)] for k in batch] for batch in cut]
            loss_fn = partial(batch_loss, model, pad, layout=layout)
            losses.append(trainer.step(micro, loss_fn, denominator(micro, config.normalise)).loss)
            ended = now()  # before the checkpoint, which follows the last one
    return Run(ended[0] - began[0], ended[1] - began[1], losses)


def peer(
    model: PreTrainedModel, rows: list[Encoded], update: int, tokenizer: PreTrainedTokenizerFast, recompute: bool
) -> Run:
    columns = {
        "input_ids": [list(row.ids) for row in rows],
        "completion_mask": [list(map(int, row.learn)) for row in rows],
    }
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = trl.SFTConfig(
            folder, per_device_train_batch_size=BATCH, gradient_accumulation_steps=update // BATCH, num_train_epochs=1,
            gradient_checkpointing=recompute, bf16=False, use_cpu=True, max_length=MAX_LENGTH, learning_rate=LR,
            lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, logging_steps=1, save_strategy="no",
            report_to="none", disable_tqdm=True, train_sampling_strategy="sequential", seed=0, completion_only_loss=True,
        )  # fmt: skip
        trainer = trl.SFTTrainer(
            copy.deepcopy(model),
            settings,
            train_dataset=datasets.Dataset.from_dict(columns),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        first = next(iter(trainer.get_train_dataloader()))["labels"]
        learnt = sum(row.learnt for row in rows[:BATCH])
        assert int((first != -100).sum()) == learnt, "the two do not learn the same tokens"
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return clock.run


def length_of(row: Encoded) -> int:
    return len(row.ids)


def count(rows: list[Encoded], update: int, config: TrainConfig) -> None:
    """The table of tokens that each way reads, over whole updates."""
    lengths = [len(row.ids) for row in rows]
    in_order = sorted(lengths, reverse=True)
    batches = [np.arange(start, min(start + BATCH, len(rows))) for start in range(0, len(rows), BATCH)]
    budget = cpu_budget(config.batch_tokens, lengths, torch.device("cpu"))
    real = sum(lengths)
    table = {
        "real tokens": real,
        "TRL, random order": read_tokens(lengths, batches, "padded"),
        "TRL, length-grouped": read_tokens(in_order, batches, "padded"),
    }
    for layout in ("padded", "flat"):
        plan = [b for step in plan_steps(lengths, update, budget, 0, flat=layout == "flat") for b in step]
        table[f"ours, {layout}, {len(rows) / len(plan):.1f} rows a batch"] = read_tokens(lengths, plan, layout)
    learnt = sum(row.learnt for row in rows)
    print(f"median row {statistics.median(lengths):.0f} tokens, {learnt / real:.0%} of them the response's")
    for name, read in table.items():
        print(f"  {name:36} {read:10,} {read / real:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    given = parser.parse_args()
    quick = given.quick
    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    update = 32
    number, repeats = given.rows or (64 if quick else 256), given.repeats or (2 if quick else 3)
    if number % update:
        parser.error(f"--rows must be a multiple of {update}")
    backbone = BackboneConfig(
        hidden=192 if quick else 320,
        layers=2 if quick else 7,
        heads=3 if quick else 5,
        max_length=MAX_LENGTH,
        vocab=8192,
    )
    pool, tokenizer, told = prepared(backbone.vocab)
    model = load_backbone(backbone, tokenizer, seed=0)
    optim = TrainerConfig(
        lr=LR, weight_decay=0.0, betas=(0.9, 0.999), schedule="constant", warmup_ratio=0.0, threads=given.threads
    )
    config = TrainConfig(backbone=backbone, optim=optim, batch_rows=update)
    millions = sum(weight.numel() for weight in model.parameters()) / 1e6
    print(
        f"TRL {trl.__version__}, transformers {transformers.__version__}, {given.threads} threads; Llama of {millions:.1f}M; {told}"
    )
    rows = pool[:number]
    count(rows, update, config)
    in_order = sorted(rows, key=length_of, reverse=True)
    variants = {
        "skyloom": lambda: ours(model, rows, config, pad_id(tokenizer)),
        "TRL default": lambda: peer(model, rows, update, tokenizer, recompute=True),
        "TRL kept": lambda: peer(model, rows, update, tokenizer, recompute=False),
        "TRL grouped": lambda: peer(model, in_order, update, tokenizer, recompute=False),
    }
    runs: dict[str, list[Run]] = {name: [] for name in variants}
    for _ in range(repeats):  # in turns: other load on the machine strikes all
        for name, variant in variants.items():
            runs[name].append(variant())
    for name in ("TRL default", "TRL kept"):
        worst = max(abs(a - b) for a, b in zip(runs["skyloom"][0].losses, runs[name][0].losses, strict=True))
        print(f"largest difference of an update's loss from {name}: {worst:.1e} over {number // update} updates")
        assert worst < 1e-3, "the two learn something else"
    tokens = sum(map(length_of, rows))
    ratios: dict[str, float] = {}
    speeds: dict[str, float] = {}
    for name, found in runs.items():
        each = [run.seconds / mine.seconds for run, mine in zip(found, runs["skyloom"], strict=True)]
        ratios[name] = statistics.median(each)
        in_cpu = statistics.median(run.cpu / mine.cpu for run, mine in zip(found, runs["skyloom"], strict=True))
        speeds[name] = tokens / statistics.median(run.seconds for run in found)
        print(f"{name:12} {speeds[name]:9,.0f} tokens/s   ours is {ratios[name]:5.2f} times as fast ({in_cpu:.2f} in CPU time; "
              f"repeats {', '.join(f'{ratio:.2f}' for ratio in each)})")  # fmt: skip
    print(json.dumps({"name": "sft", "ours": round(speeds["skyloom"], 1), "peer": round(speeds["TRL grouped"], 1),
                      "ratio": round(ratios["TRL grouped"], 3), "against_default": round(ratios["TRL default"], 3),
                      "unit": f"real tokens/s against TRL {trl.__version__}, length-grouped", "repeats": repeats}))  # fmt: skip


if __name__ == "__main__":
    main()
