"""Replies from a causal model: batched, greedy or sampled, the same for a row in whatever batch it stands.

Formula  greedy: argmax of the logits; else the inverse CDF of softmax(logits / temperature), likeliest tokens first and cut at
         top_p, at u[row, t], where u[row] comes from the stream (seed, row or the row's name): batching and other rows change nothing
Why own  transformers' `model.generate` draws from the global generator, so a row's sample depends on its batch; it computes finished
         rows to the end, and copies its whole cache for every token (core.llm.cache)
Source   nucleus sampling: Holtzman et al. 2020
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom run RECIPE
Speed    python benchmarks/generate.py: against `model.generate` one by one and in the same batches
Shapes   B rows of a batch, T tokens of the longest prompt, V vocabulary
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core import progress
from skyloom.core.errors import BadInput
from skyloom.core.llm.backbones import pad_id
from skyloom.core.llm.cache import roomy_cache
from skyloom.core.llm.config import GenerateConfig
from skyloom.core.llm.packing import pad, position_ids
from skyloom.core.rng import stream


class Reply(NamedTuple):
    """What the model wrote after one prompt."""

    text: str
    """Without special tokens, cut before the first stop text."""
    ids: tuple[int, ...]
    """Every token written, the end token and what a stop text cut off included."""
    finished: bool
    """True when an end token or stop text ended it, False when max_new_tokens did."""

    @property
    def tokens(self) -> int:
        """How many tokens were written."""
        return len(self.ids)


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    config: GenerateConfig,
    *,
    seed: int = 0,
    label: str = "generating",
) -> list[Reply]:
    """One reply for each prompt (token ids from `render_prompt`), in the order of the prompts.

    Prompts are batched by length under `config.batch_tokens` and padded on the left; finished rows leave the batch.
    The model is used as it is (call `.eval()`), on its own device.

    Raises BadInput when a prompt is empty, or alone is above `batch_tokens` with its reply.
    """
    replies = dict(generate_each(model, tokenizer, prompts, config, seed=seed, label=label))
    return [replies[row] for row in range(len(prompts))]


def generate_each(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    config: GenerateConfig,
    *,
    seed: int = 0,
    names: Sequence[str | int] | None = None,
    label: str = "generating",
    done: Container[int] = (),
    window: int | None = None,
) -> Iterator[tuple[int, Reply]]:
    """As `generate`, but each reply with its prompt's number as soon as its batch is done, the longest prompts first.

    Equal prompts of a batch, such as draws for one question, are read once.

    Args:
        model: as in `generate`, as all before `names`.
        names: stand for the prompts in their streams of draws, so that a sample depends on its name alone; None: their numbers.
        label: of the progress bar.
        done: prompts whose replies are there already. A batch of such alone is skipped; any other is written as if nothing were
            there, so that a run that was cut goes on with the very batches, and the very rounding, of one that was not.
        window: most tokens of a prompt and its reply together: a reply that comes to it is cut; None: no limit.
    """
    with progress.bar(label, len(prompts)) as shown:
        for rows in batches_of([len(prompt) for prompt in prompts], config):
            if not all(row in done for row in rows):
                uniform_BT = torch.stack([_uniforms(seed, names[row] if names else row, config) for row in rows])
                batch = [prompts[row] for row in rows]
                yield from zip(rows, _write(model, tokenizer, batch, config, uniform_BT, window), strict=True)
            shown.advance(len(rows))


def batches_of(lengths: Sequence[int], config: GenerateConfig) -> list[list[int]]:
    """Which prompts are written together: the longest first, as many as `batch_tokens` holds. Raises as `generate`."""
    batches: list[list[int]] = []
    width = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not batches or (len(batches[-1]) + 1) * width > config.batch_tokens:
            width = lengths[row] + config.max_new_tokens  # longest first: the first row of a batch sets its width
            if width > config.batch_tokens:
                raise BadInput(
                    f"generate: prompt {row} needs {width} tokens with its reply, above batch_tokens={config.batch_tokens}"
                )
            batches.append([])
        batches[-1].append(row)
    return batches


def _uniforms(seed: int, name: str | int, config: GenerateConfig) -> Float[Tensor, " T"]:
    return torch.from_numpy(stream(seed, "generate", name).random(config.max_new_tokens))


@dataclass(slots=True)
class _Live:
    """The rows of a batch that still write, and what the next forward pass takes; changed in place."""

    rows: list[int]
    ids_BT: Int[Tensor, "B T"]
    mask_BT: Bool[Tensor, "B T"]
    place_BT: Int[Tensor, "B T"]
    cache: DynamicCache

    def logits(self, model: PreTrainedModel) -> Float[Tensor, "B V"]:
        """Logits of each live row's next token; its keys and values go into the cache."""
        out = model(
            input_ids=self.ids_BT,
            attention_mask=self.mask_BT,
            position_ids=self.place_BT,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1]

    def extend(self, next_B: Int[Tensor, " B"], keep: list[int]) -> None:
        """Append a token to each row that goes on, and drop the others."""
        if len(keep) < len(self.rows):
            keep_B = torch.tensor(keep, device=next_B.device)
            self.cache.batch_select_indices(keep_B)
            self.mask_BT, self.place_BT, next_B = self.mask_BT[keep_B], self.place_BT[keep_B], next_B[keep_B]
            self.rows = [self.rows[k] for k in keep]
        self.ids_BT = next_B[:, None]
        self.mask_BT = torch.nn.functional.pad(self.mask_BT, (0, 1), value=True)
        self.place_BT = self.place_BT[:, -1:] + 1


@torch.no_grad()
def _write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    config: GenerateConfig,
    uniform_BT: Float[Tensor, "B T"],
    window: int | None = None,
) -> list[Reply]:
    device = next(model.parameters()).device
    live, logits_BV = _read(model, tokenizer, prompts, device)
    ends = _end_ids(model, tokenizer)
    written: list[list[int]] = [[] for _ in prompts]
    most = [config.max_new_tokens if window is None else window - len(prompt) for prompt in prompts]
    for t in range(config.max_new_tokens):
        if t:
            logits_BV = live.logits(model)
        next_B = _choose(logits_BV, config, uniform_BT[live.rows, t : t + 1].to(device))
        for row, token in zip(live.rows, next_B.tolist(), strict=True):
            written[row].append(token)
        keep = [
            k
            for k, row in enumerate(live.rows)
            if len(written[row]) < most[row] and not _ended(tokenizer, written[row], ends, config)
        ]
        if not keep:
            break
        live.extend(next_B, keep)
    return [_reply(tokenizer, ids, ends, config) for ids in written]


def _read(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]], device: torch.device
) -> tuple[_Live, Float[Tensor, "B V"]]:
    """The prompts in the cache, and the logits behind each; equal ones are computed once and copied."""
    places = {tuple(prompt): place for place, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
    padded = pad(list(places), pad_id(tokenizer), side="left")
    mask_BT = padded.mask_BT.to(device)
    live = _Live(
        list(range(len(places))), padded.ids_BT.to(device), mask_BT, position_ids(mask_BT), roomy_cache(model.config)
    )
    logits_BV = live.logits(model)
    if len(places) < len(prompts):
        place_B = torch.tensor([places[tuple(prompt)] for prompt in prompts], device=device)
        live.cache.batch_select_indices(place_B)
        live.mask_BT, live.place_BT = live.mask_BT[place_B], live.place_BT[place_B]
        live.rows, logits_BV = list(range(len(prompts))), logits_BV[place_B]
    return live, logits_BV


def _choose(
    logits_BV: Float[Tensor, "B V"], config: GenerateConfig, uniform_B1: Float[Tensor, "B U"]
) -> Int[Tensor, " B"]:
    if config.temperature == 0:
        return logits_BV.argmax(dim=-1)
    spread_BV = torch.softmax(logits_BV.double() / config.temperature, dim=-1)
    chance_BV, token_BV = spread_BV.sort(dim=-1, descending=True, stable=True)
    upto_BV = chance_BV.cumsum(dim=-1)
    # The nucleus ends with the first token at which the sum reaches top_p; u is stretched over what it holds.
    last_B1 = (upto_BV < config.top_p).sum(dim=-1, keepdim=True).clamp_max(chance_BV.shape[1] - 1)
    target_B1 = uniform_B1 * upto_BV.gather(1, last_B1)
    place_B1 = torch.searchsorted(upto_BV, target_B1, right=True).minimum(last_B1)
    return token_BV.gather(1, place_B1)[:, 0]


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokenizer's end token and whatever else the model's own generation settings end on (Llama-3 has two)."""
    own = getattr(model.generation_config, "eos_token_id", None)
    listed = cast(list[object], own) if isinstance(own, list) else [own]
    return {token for token in [*listed, tokenizer.eos_token_id] if isinstance(token, int)}


def _ended(tokenizer: PreTrainedTokenizerBase, ids: list[int], ends: set[int], config: GenerateConfig) -> bool:
    if ids[-1] in ends:
        return True
    if not config.stop:
        return False
    # A token holds a byte at least, so a stop text that ends here lies in so many tokens; two more, because decoders
    # treat a first token otherwise. Decoding the tail keeps long replies linear.
    longest = max(len(stop.encode()) for stop in config.stop) + 2
    tail = tokenizer.decode(ids[-longest:], skip_special_tokens=True)
    return any(stop in tail for stop in config.stop)


def _reply(tokenizer: PreTrainedTokenizerBase, ids: list[int], ends: set[int], config: GenerateConfig) -> Reply:
    text = str(tokenizer.decode(ids[:-1] if ids[-1] in ends else ids, skip_special_tokens=True))
    starts = [place for stop in config.stop if (place := text.find(stop)) >= 0]
    return Reply(text[: min(starts)] if starts else text, tuple(ids), ids[-1] in ends or bool(starts))
