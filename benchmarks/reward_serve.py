"""The reward server against a bare loop: sequences scored per second, with 64 clients that each wait for their answer.

Peer     the usual script: rows sorted by length, padded, in fixed batches of as many as our server's batches hold on average, straight
         into transformers' own sequence classifier; already tokenised, one process, nobody else to serve
Ours     a server in a process of its own; every client sends one conversation, waits for its score and sends the next. JSON, chat
         template, tokenising, queueing and HTTP are part of it
Input    RMB's pairs, both sides, where $SKYLOOM_DATA holds them; else words drawn to the same lengths (log-normal, fitted to RMB's).
         Conversations above the limit are left out. Equal tokens: the peer gets the ids that the server scores
Checked  the scores of both agree within 1e-4 relative to max(1, |score|)
Run      python benchmarks/reward_serve.py [--quick] [--model PATH] [--rows N] [--threads N] [--clients N]
         PATH: a directory or .gguf file; a model without a reward head gets a random one. Without it a small random Llama
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.llm.backbones import load_tokenizer, train_tokenizer
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.records import Message, Raw, Reject
from skyloom.reward.model import new_reward_model, save_reward_model
from skyloom.reward.records import Pair
from skyloom.reward.score import Scorer
from skyloom.reward.settings import ScoreConfig
from skyloom.reward.sources import rmb

MAX_LENGTH = 1024
BUDGET = 8192
PROMPT_WORDS, REPLY_WORDS = (3.9, 1.5), (4.9, 1.3)
"""Mean and deviation of log words of RMB's prompts and replies, rounded."""
SERVE = "from skyloom.app.reward_serve import app; app()"


class Row(NamedTuple):
    """One conversation, as the client sends it and as the peer reads it."""

    messages: list[dict[str, str]]
    ids: list[int]


class Run(NamedTuple):
    """One pass over all rows."""

    per_s: float
    scores: np.ndarray


def pair_of(raw: Raw | Reject) -> Pair | None:
    try:
        return rmb.to_record(raw.data) if isinstance(raw, Raw) else None
    except BadRow:
        return None


def texts(count: int, seed: int) -> list[tuple[list[Message], str]]:
    """Prompts with a reply: RMB's own, evenly spread over its files, or drawn to its lengths."""
    draw = random.Random(seed)
    folder = Path(os.environ.get("SKYLOOM_DATA", "")) / "pref" / "rmb" / "Pairwise_set"
    if os.environ.get("SKYLOOM_DATA") and folder.is_dir():
        config = rmb.Config(path=folder, as_train=True)
        found = [pair for raw in rmb.rows(config, 0) if (pair := pair_of(raw)) is not None]
        some = draw.sample(found, min(len(found), 2 * count))
        return [(list(pair.prompt), side) for pair in some for side in (pair.chosen, pair.rejected)]
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 8))) for _ in range(3000)]

    def text(shape: tuple[float, float]) -> str:
        return " ".join(draw.choices(words, k=max(1, round(draw.lognormvariate(*shape)))))

    return [([Message(role="user", content=text(PROMPT_WORDS))], text(REPLY_WORDS)) for _ in range(4 * count)]


def make_model(model: str, some: list[str], out: Path) -> None:
    """A reward model's directory: the named one with a head, or a small random Llama."""
    if model:
        config = BackboneConfig(model=model)
        tokenizer = load_tokenizer(config)
    else:
        config = BackboneConfig(hidden=256, layers=4, heads=4, max_length=MAX_LENGTH, vocab=4096)
        tokenizer = train_tokenizer(some, config.vocab)
    save_reward_model(new_reward_model(config, tokenizer, seed=0), tokenizer, out)


def rows_of(scorer: Scorer, count: int, seed: int) -> list[Row]:
    rows: list[Row] = []
    for prompt, reply in texts(count, seed):
        if len(rows) == count:
            break
        try:
            encoded = scorer.encode(prompt, [reply])
        except (BadRow, BadInput):  # too long, or holds a special token: neither side scores it
            continue
        turns = [
            *({"role": turn.role, "content": turn.content} for turn in prompt),
            {"role": "assistant", "content": reply},
        ]
        rows.append(Row(turns, encoded.group.rows[0]))
    return rows


def bare(model: Any, pad_id: int, rows: list[Row], size: int) -> Run:  # Any: transformers' classifier
    order = sorted(range(len(rows)), key=lambda k: -len(rows[k].ids))
    scores = np.zeros(len(rows))
    started = time.perf_counter()
    for start in range(0, len(order), size):
        some = order[start : start + size]
        width = len(rows[some[0]].ids)
        ids = torch.tensor([rows[k].ids + [pad_id] * (width - len(rows[k].ids)) for k in some])
        mask = torch.tensor([[1] * len(rows[k].ids) + [0] * (width - len(rows[k].ids)) for k in some])
        with torch.inference_mode():
            scores[some] = model(input_ids=ids, attention_mask=mask).logits[:, 0].double().numpy()
    return Run(len(rows) / (time.perf_counter() - started), scores)


async def served(url: str, rows: list[Row], clients: int) -> Run:
    scores = np.zeros(len(rows))
    line = iter(enumerate(rows))

    async def client(session: aiohttp.ClientSession) -> None:
        for k, row in line:
            async with session.post(url + "/v1/score", json={"messages": row.messages}) as reply:
                answer = await reply.json()
                assert reply.status == 200, answer
            scores[k] = answer["data"][0]["scores"][0]

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        started = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(clients)))
        return Run(len(rows) / (time.perf_counter() - started), scores)


async def batches(url: str) -> tuple[float, float]:
    """(sequences, batches) scored so far."""
    async with aiohttp.ClientSession() as session, session.get(url + "/metrics") as reply:
        lines = (await reply.text()).splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("skyloom_scored"))
    return float(found["skyloom_scored_sequences_total"]), float(found["skyloom_scored_batches_total"])


def compare(folder: Path, rows: list[Row], threads: int, clients: int, repeats: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-c", SERVE, str(folder), "--port", "0", "--budget", str(BUDGET)]
    command += ["--max-length", str(MAX_LENGTH), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().rsplit(" ", 1)[1].strip()
        asyncio.run(served(url, rows[: clients * 2], clients))  # warm; and tells how large our batches are
        sequences, count = asyncio.run(batches(url))
        size = max(1, round(sequences / count))
        bare(model, model.config.pad_token_id, rows[: size * 2], size)
        ours: list[Run] = []
        peer: list[Run] = []
        for _ in range(repeats):  # in turns: other load on the machine strikes both
            ours.append(asyncio.run(served(url, rows, clients)))
            peer.append(bare(model, model.config.pad_token_id, rows, size))
    finally:
        process.terminate()
        process.wait(30)
    for mine, theirs in zip(ours, peer, strict=True):
        assert np.allclose(mine.scores, theirs.scores, rtol=1e-4, atol=1e-4), "the two disagree"
    ratios = [mine.per_s / theirs.per_s for mine, theirs in zip(ours, peer, strict=True)]
    tokens = statistics.mean(len(row.ids) for row in rows)
    mine, theirs = (statistics.median(run.per_s for run in runs) for runs in (ours, peer))
    print(f"{len(rows)} conversations of {tokens:.0f} tokens, {clients} clients, {threads} threads, batches of {size}")
    print(
        f"served {mine:.2f}/s = {mine * tokens:.0f} tokens/s, bare loop {theirs:.2f}/s = {theirs * tokens:.0f} tokens/s"
    )
    print(f"ratio of each repeat: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
    return {"name": "reward_serve", "ours": round(mine, 3), "peer": round(theirs, 3),
            "ratio": round(statistics.median(ratios), 3), "unit": "sequences/s", "repeats": repeats}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", default="")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=0)
    given = parser.parse_args()
    count = given.rows or (300 if given.quick else 1000)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        make_model(given.model, [reply for _, reply in texts(50, seed=1)], folder)
        scorer = Scorer.load(folder, ScoreConfig(max_length=MAX_LENGTH, over_long="error", device="cpu"))
        rows = rows_of(scorer, count, seed=2)
        del scorer
        print(
            json.dumps(compare(folder, rows, given.threads, given.clients, given.repeats or (2 if given.quick else 3)))
        )


if __name__ == "__main__":
    main()
