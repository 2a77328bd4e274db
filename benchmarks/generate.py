"""Batched local generation against transformers' own `model.generate`: tokens written per second, greedy, equal replies.

Peers    one by one: `model.generate` on each prompt, as most evaluation scripts do: `peer`
         batched: the same call on left-padded batches of the very rows that ours holds together, longest prompts first: the stronger
         peer; its ratio stands in the line above the last
Ours     core.llm.generate.generate
Input    questions of the world (`--real`: GSM8K where $SKYLOOM_DATA holds it), rendered with the model's chat template
Model    a random Llama (hidden 256, 6 layers) that ends a reply at every token whose number leaves a certain rest, so that ends vary
         (`--real`: SmolLM2-135M from ~/.cache/skyloom-models, or --model PATH)
Equal    model, weights, float32, prompts, longest reply, end tokens, threads
Checked  every token of every reply is the same on all sides; where rounding has turned a near tie, the count is printed, and more than
         one reply in fifty ends the run
Run      python benchmarks/generate.py [--quick] [--real] [--model PATH] [--rows N] [--tokens N] [--batch N] [--threads N]
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core import store
from skyloom.core.llm.backbones import load_backbone, load_tokenizer, pad_id
from skyloom.core.llm.config import TINY, BackboneConfig, GenerateConfig
from skyloom.core.llm.generate import batches_of, generate
from skyloom.core.llm.packing import pad
from skyloom.core.llm.templates import render_prompt
from skyloom.core.records import Raw
from skyloom.mathqa.records import chat
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import problems

REST, OF = 7, 48
"""The random model ends a reply where its likeliest token leaves this rest: after some fifty tokens, if they were drawn evenly."""
SCALE = 4.0
"""Factor on the random matrices as drawn: without it every reply repeats one token."""
REAL = Path.home() / ".cache/skyloom-models/smollm2-135m.gguf"


class Run(NamedTuple):
    """One pass over all prompts."""

    seconds: float
    cpu: float
    """Seconds of all threads: what a busy machine distorts least."""
    replies: list[tuple[int, ...]]

    @property
    def tokens(self) -> int:
        """Of all replies."""
        return sum(map(len, self.replies))


def random_llama(seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Larger than `tiny`, with lively greedy replies of all lengths."""
    config = BackboneConfig(model=TINY, hidden=256, layers=6, heads=4, vocab=4096, max_length=1024)
    corpus = [f"{posed.text}\n{solve(posed).text}" for posed in problems("train", seed, 1000)]
    tokenizer = load_tokenizer(config, corpus)
    model = load_backbone(config, tokenizer, seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(SCALE)
    end = int(tokenizer.eos_token_id)  # pyright: ignore[reportArgumentType]

    def ended(_module: Any, _args: Any, logits: torch.Tensor) -> torch.Tensor:
        here = logits.argmax(dim=-1) % OF == REST
        logits[..., end] = torch.where(here, logits.amax(dim=-1) + 1, logits.amin(dim=-1) - 1)
        return logits

    model.get_output_embeddings().register_forward_hook(ended)
    return model, tokenizer


def questions(count: int, real: bool) -> list[str]:
    file = Path(os.environ.get("SKYLOOM_DATA", "")) / "math/gsm8k/test.jsonl"
    if real and os.environ.get("SKYLOOM_DATA") and file.is_file():
        return [raw.data["question"] for raw in store.read_json_rows(file) if isinstance(raw, Raw)][:count]
    return [posed.text for posed in problems("eval", 3, count)]


def one_by_one(model: Any, prompts: list[list[int]], most: int, ends: list[int], fill: int) -> Run:
    """transformers, a prompt at a time."""
    return theirs(model, [[row] for row in range(len(prompts))], prompts, most, ends, fill)


def theirs(
    model: Any, batches: list[list[int]], prompts: list[list[int]], most: int, ends: list[int], fill: int
) -> Run:
    """transformers' own generation on left-padded batches; the padding behind an end token is cut off."""
    replies: list[tuple[int, ...]] = [()] * len(prompts)
    began, started = time.process_time(), time.perf_counter()
    for rows in batches:
        padded = pad([prompts[row] for row in rows], fill, side="left")
        with torch.no_grad():
            out = model.generate(
                padded.ids_BT,
                attention_mask=padded.mask_BT.long(),
                max_new_tokens=most,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=fill,
            )
        for row, ids in zip(rows, out[:, padded.ids_BT.shape[1] :].tolist(), strict=True):
            stop = next((place for place, token in enumerate(ids) if token in ends), len(ids) - 1)
            replies[row] = tuple(ids[: stop + 1])
    return Run(time.perf_counter() - started, time.process_time() - began, replies)


def ours(model: Any, tokenizer: Any, prompts: list[list[int]], config: GenerateConfig) -> Run:
    began, started = time.process_time(), time.perf_counter()
    replies = generate(model, tokenizer, prompts, config)
    seconds, cpu = time.perf_counter() - started, time.process_time() - began
    return Run(seconds, cpu, [reply.ids for reply in replies])


def same_batches(prompts: list[list[int]], config: GenerateConfig) -> list[list[int]]:
    """The rows that ours holds together."""
    return batches_of([len(prompt) for prompt in prompts], config)


def arguments() -> argparse.Namespace:
    """The command line, with the sizes that it leaves open."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--model", default="")
    for name, value in (("rows", 0), ("tokens", 0), ("batch", 32), ("threads", 2), ("repeats", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    asked.real = asked.real or bool(asked.model)
    asked.rows = asked.rows or (32 if asked.quick or asked.real else 96)
    asked.tokens = asked.tokens or (48 if asked.quick else 96 if asked.real else 160)
    asked.repeats = asked.repeats or (1 if asked.quick or asked.real else 3)
    return asked


def main() -> int:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    rows, most = asked.rows, asked.tokens
    if asked.real:
        config = BackboneConfig(model=asked.model or str(REAL))
        tokenizer = load_tokenizer(config)
        model: Any = load_backbone(config, tokenizer)
    else:
        model, tokenizer = random_llama(0)
    prompts = [render_prompt(tokenizer, chat(text)) for text in questions(rows, asked.real)]
    longest = max(map(len, prompts)) + most
    how = GenerateConfig(max_new_tokens=most, batch_tokens=asked.batch * longest)
    ends = sorted({int(tokenizer.eos_token_id), *_listed(model.generation_config.eos_token_id)})  # pyright: ignore
    fill = pad_id(tokenizer)
    batches = same_batches(prompts, how)
    passes: dict[str, list[Run]] = {"one": [], "batch": [], "ours": []}
    ours(model, tokenizer, prompts[:2], how)  # kernels are warm on all sides
    for _ in range(asked.repeats):
        passes["one"].append(one_by_one(model, prompts, most, ends, fill))
        passes["batch"].append(theirs(model, batches, prompts, most, ends, fill))
        passes["ours"].append(ours(model, tokenizer, prompts, how))
    lengths = sorted(map(len, passes["ours"][0].replies))
    unequal = {
        name: sum(a != b for a, b in zip(runs[0].replies, passes["ours"][0].replies, strict=True))
        for name, runs in passes.items()
    }
    rate = {name: statistics.median(run.tokens / run.seconds for run in runs) for name, runs in passes.items()}
    print(f"{rows} prompts, replies of {lengths[0]} to {lengths[-1]} tokens, median {lengths[len(lengths) // 2]}")
    print(f"replies that differ from ours: {unequal}")
    print(f"tokens/s: { ({name: round(value, 1) for name, value in rate.items()}) }")
    busy = {name: statistics.median(run.tokens / run.cpu for run in runs) for name, runs in passes.items()}
    print(f"tokens a second of CPU: { ({name: round(value, 1) for name, value in busy.items()}) }")
    print(f"against transformers' batches: {rate['ours'] / rate['batch']:.2f}x")
    if max(unequal.values()) > rows / 50:
        sys.stderr.write(f"replies differ: {unequal}\n")
        return 1
    result = {"name": "generate", "ours": rate["ours"], "peer": rate["one"], "ratio": rate["ours"] / rate["one"]}
    print(json.dumps({**result, "batched_peer": rate["batch"], "unit": "tokens/s", "repeats": asked.repeats}))
    return 0


def _listed(ends: Any) -> list[int]:
    return ends if isinstance(ends, list) else [ends] if isinstance(ends, int) else []


if __name__ == "__main__":
    sys.exit(main())
