"""Batches to a token budget with length bucketing, against fixed-size random batches: real tokens trained per second.

Peers    torch DataLoader(shuffle=True) with transformers' DataCollatorWithPadding, the usual way, in three forms: as many rows a
         batch as ours has on average (it then needs several times our memory at its worst batch); as many as fit our budget
         whatever their lengths; and padded to the maximal length, as many as fit. The strongest of the three is `peer`.
Input    generated: log-normal lengths, median 48, at most 512 tokens (the shape of chat and maths data); random ids
Measured forward, backward and AdamW on the same tiny Llama; every variant sees whole epochs of the same rows, in turn, on the
         same threads; the median over the repeats
Checked  every variant trains every row once an epoch
Run      python benchmarks/batching.py [--quick]
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from skyloom.core.llm.backbones import train_tokenizer
from skyloom.core.llm.packing import pad, plan_batches
from skyloom.core.rng import stream

LONGEST = 512
BUDGET = 4096
THREADS = 2


class Batch(NamedTuple):
    """A padded batch; B rows of T positions."""

    ids_BT: Tensor
    mask_BT: Tensor


class Result(NamedTuple):
    """One epoch of one variant."""

    tokens_per_s: float
    padding: float
    """Share of the positions that are padding."""
    largest: int
    """Positions of the largest batch: what sets the memory."""


def rows(count: int) -> list[list[int]]:
    rng = stream(20260102, "batching")
    lengths = rng.lognormal(3.87, 0.9, count).clip(2, LONGEST).astype(int)
    return [rng.integers(6, 256, length).tolist() for length in lengths]


def bucketed(data: list[list[int]], epoch: int) -> Iterator[Batch]:
    for part in plan_batches([len(row) for row in data], BUDGET, seed=0, epoch=epoch):
        padded = pad([data[i] for i in part], 0)
        yield Batch(padded.ids_BT, padded.mask_BT)


def loader(data: list[list[int]], epoch: int, size: int, widest: bool) -> Iterator[Batch]:
    tokenizer: PreTrainedTokenizerFast = train_tokenizer(["ab"], 300)
    fill = "max_length" if widest else "longest"
    collate = DataCollatorWithPadding(tokenizer, padding=fill, max_length=LONGEST if widest else None)
    order = torch.Generator().manual_seed(epoch)
    items = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in data]
    for batch in DataLoader(items, batch_size=size, shuffle=True, generator=order, collate_fn=collate):
        yield Batch(batch["input_ids"], batch["attention_mask"].bool())


def train(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, batches: Iterable[Batch]) -> Result:
    start, real, places, largest = time.perf_counter(), 0, 0, 0
    for ids_BT, mask_BT in batches:
        logits = model(input_ids=ids_BT, attention_mask=mask_BT).logits[:, :-1]
        labels = ids_BT.masked_fill(~mask_BT, -100)[:, 1:]
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        real += int(mask_BT.sum())
        places += mask_BT.numel()
        largest = max(largest, mask_BT.numel())
    return Result(real / (time.perf_counter() - start), 1 - real / places, largest)


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    torch.set_num_threads(1 if quick else min(THREADS, os.cpu_count() or 1))
    torch.manual_seed(0)
    data, repeats = rows(400 if quick else 1000), 2 if quick else 3
    total = sum(len(row) for row in data)
    shape = LlamaConfig(
        vocab_size=300, hidden_size=48 if quick else 128, intermediate_size=128 if quick else 352, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=LONGEST, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    mean_rows = round(len(data) / len(plan_batches([len(row) for row in data], BUDGET, seed=0)))
    fits = BUDGET // LONGEST
    variants = {
        "skyloom: budget, bucketed": lambda epoch: bucketed(data, epoch),
        f"random, {mean_rows} rows, to the longest": lambda epoch: loader(data, epoch, mean_rows, widest=False),
        f"random, {fits} rows, to the longest": lambda epoch: loader(data, epoch, fits, widest=False),
        f"random, {fits} rows, to the maximum": lambda epoch: loader(data, epoch, fits, widest=True),
    }
    for name, batches in variants.items():  # warm up, and prove that nothing is lost
        assert sum(int(batch.mask_BT.sum()) for batch in batches(0)) == total, name
    train(model, optimizer, list(bucketed(data, 0))[:2])
    seen: dict[str, list[Result]] = {name: [] for name in variants}
    for epoch in range(repeats):
        for name, batches in variants.items():
            seen[name].append(train(model, optimizer, batches(epoch)))
    speed = {name: statistics.median(one.tokens_per_s for one in results) for name, results in seen.items()}
    for name, results in seen.items():
        padding, largest = results[0].padding, max(one.largest for one in results)
        print(f"{name:34} {speed[name]:10,.0f} tokens/s   {padding:4.0%} padding   largest batch {largest:,} positions")
    ours, *peers = speed.values()
    peer = max(peers)
    told = {"name": "batching", "ours": round(ours), "peer": round(peer), "ratio": round(ours / peer, 3)}
    print(
        json.dumps(
            {
                **told,
                "unit": "real tokens/s against the best of three DataCollatorWithPadding set-ups",
                "repeats": repeats,
            }
        )
    )


if __name__ == "__main__":
    main()
