"""Teachers on this machine without a server: a model in transformers or GGUF, or vLLM's offline engine.

Formula  local: reply = f(weights, prompt, uniform draws of the stream named by the request's key), so that it does not depend on the
         wave or the batch in which it stands (up to the rounding of the model's arithmetic); vllm: as vLLM draws, `seed` = sample number
Source   core.llm.generate; vLLM's `LLM.chat` (docs.vllm.ai, offline inference)
Flow     core.llm.teacher's backends "local" and "vllm", through core.llm.waves
Limits   A prompt that does not fit the model with its reply, or that forges a turn by special tokens, is refused by name. vLLM returns
         a wave as a whole: a killed run loses the wave; `local` loses a batch.
"""

import importlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core.errors import BadInput, BadRow, MissingExtra
from skyloom.core.llm.backbones import load_backbone, load_tokenizer
from skyloom.core.llm.chat import Reply, Request, apart, refusal, request_key
from skyloom.core.llm.config import BackboneConfig, GenerateConfig
from skyloom.core.llm.generate import generate_each
from skyloom.core.llm.teacher import TeacherConfig, sampling_of
from skyloom.core.llm.templates import render_prompt

BATCH_TOKENS = 16_384  # as GenerateConfig's


class Local:
    """Answers waves with a model in this process, on the GPU where there is one; loaded when the first request must be asked."""

    def __init__(self, config: TeacherConfig) -> None:
        self._config = config
        self._loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None

    def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        """Replies, batch by batch.

        Raises BadInput where the model cannot be loaded, or has no room for `max_tokens`.
        """
        model, tokenizer = self._loaded = self._loaded or _load(self._config)
        room = getattr(model.config, "max_position_embeddings", None)
        prompts: dict[int, list[int]] = {}
        for number, request in enumerate(requests):
            ids = _prompt(tokenizer, request, self._config, room)
            if ids is None:
                yield number, refusal()
            else:
                prompts[number] = ids
        most = self._config.max_tokens
        longest = max((len(ids) for ids in prompts.values()), default=0)
        how = GenerateConfig(
            max_new_tokens=most,
            temperature=self._config.temperature,
            batch_tokens=max(BATCH_TOKENS, longest + most),
        )
        numbers = list(prompts)
        names = [request_key(requests[number], sampling_of(self._config)).hex() for number in numbers]
        for row, written in generate_each(model, tokenizer, list(prompts.values()), how, names=names, label="teacher"):
            text, reasoning = apart(written.text)
            yield (
                numbers[row],
                Reply(
                    text=text,
                    reasoning=reasoning,
                    finish="stop" if written.finished else "length",
                    prompt_tokens=len(prompts[numbers[row]]),
                    completion_tokens=written.tokens,
                ),
            )


class Vllm:
    """Answers waves with vLLM's offline engine, which batches them itself."""

    def __init__(self, config: TeacherConfig) -> None:
        self._config = config
        self._engine: Any = None  # Any: vLLM is no dependency

    def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        """Replies, the whole wave at once.

        Raises MissingExtra where vllm is not installed.
        """
        vllm = _vllm()
        self._engine = self._engine or vllm.LLM(model=self._config.model)
        tokenizer = self._engine.get_tokenizer()
        room = int(self._engine.llm_engine.model_config.max_model_len)
        asked: list[int] = []
        for number, request in enumerate(requests):
            known = isinstance(tokenizer, PreTrainedTokenizerBase)  # Mistral's own tokenizer class is not one
            if known and _prompt(tokenizer, request, self._config, room) is None:
                yield number, refusal()
            else:
                asked.append(number)
        if not asked:
            return
        outputs = self._engine.chat(
            messages=[[{"role": m.role, "content": m.content} for m in requests[number].messages] for number in asked],
            sampling_params=[
                vllm.SamplingParams(
                    temperature=self._config.temperature,
                    max_tokens=self._config.max_tokens,
                    seed=requests[number].sample if self._config.send_seed else None,
                )
                for number in asked
            ],
            use_tqdm=False,
        )
        for number, output in zip(asked, outputs, strict=True):
            yield number, _vllm_reply(output)


def _vllm_reply(output: Any) -> Reply:  # Any: vllm.RequestOutput
    written = output.outputs[0]
    text, reasoning = apart(written.text)
    return Reply(
        text=text,
        reasoning=reasoning,
        finish=written.finish_reason or "unknown",
        prompt_tokens=len(output.prompt_token_ids or ()),
        completion_tokens=len(written.token_ids),
    )


def _vllm() -> Any:  # Any: a module without types here
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise MissingExtra(
            f"teacher.backend=vllm: the package vllm cannot be imported ({error}); install it, or serve the model with "
            "`vllm serve` elsewhere and give its address as teacher.url with backend=http"
        ) from error


def _load(config: TeacherConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    backbone = BackboneConfig(model=config.model, dtype=config.dtype)
    tokenizer = load_tokenizer(backbone)
    model = load_backbone(backbone, tokenizer, "causal")
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer  # pyright: ignore[reportArgumentType]


def _prompt(
    tokenizer: PreTrainedTokenizerBase, request: Request, config: TeacherConfig, room: int | None
) -> list[int] | None:
    """Token ids of a request; None where it cannot be asked, with the reason in the log of warnings."""
    if room is not None and config.max_tokens >= room:
        raise BadInput(
            f"teacher.max_tokens: {config.max_tokens} leaves no room for a prompt, the model {config.model!r} has {room} "
            "positions for both; lower it"
        )
    try:
        ids = render_prompt(tokenizer, request.messages)
    except BadRow as error:
        logging.getLogger(__name__).warning("%s: a request was refused: %s", config.model, error)
        return None
    if room is not None and len(ids) + config.max_tokens > room:
        logging.getLogger(__name__).warning(
            "%s: a request was refused: %d tokens and %d of reply are more than the model's %d positions",
            config.model, len(ids), config.max_tokens, room,
        )  # fmt: skip
        return None
    return ids
