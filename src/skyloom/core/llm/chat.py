"""One question to a chat model and its answer, and their form on the wire.

Source   OpenAI chat completions API (POST /v1/chat/completions), the form that vLLM, llama.cpp, SGLang and the vendors speak
Flow     under core.llm.teacher (sends) and core.llm.request_log (keeps)
Run      parse(b'{"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}').text == "4"
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from skyloom.core.records import Message

MAX_REPLY_BYTES = 10_000_000
REFUSED = "refused"
THINK, THOUGHT = "<think>", "</think>"
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class TornReply(ValueError):
    """The body of a reply is cut, not JSON, or not a chat completion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One question."""

    messages: tuple[Message, ...]
    sample: int = 0
    """Which draw of the same question this is, from 0: equal questions with equal numbers are asked once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the model draws a reply; part of the request's key."""

    model: str
    temperature: float
    max_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One answer."""

    text: str
    finish: str
    """stop; length: cut off at max_tokens; content_filter; or whatever else the server said. refused: a 4xx for this request."""
    prompt_tokens: int
    completion_tokens: int
    reasoning: str = ""
    """What the model thought before it answered, where the server or a `<think>` block says so; never part of the text."""

    @property
    def truncated(self) -> bool:
        """The text is not whole: whoever parses it must reject it by name."""
        return self.finish == "length"


def request_key(request: Request, sampling: Sampling) -> bytes:
    """16 bytes that stand for everything which may change the reply."""
    return hashlib.blake2b(_dump({**_asked(request, sampling), "sample": request.sample}), digest_size=16).digest()


def payload(request: Request, sampling: Sampling, *, seeded: bool) -> bytes:
    """JSON body of the POST; `seeded` sends the sample number as the API's `seed`, so that draws of one question differ."""
    return _dump({**_asked(request, sampling), **({"seed": request.sample} if seeded else {})})


def parse(data: bytes) -> Reply:
    """The first choice of a reply's body; raises TornReply. Lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
    try:
        body = _Body.model_validate_json(_whole(data) if SURROGATE.search(data) else data)
    except ValidationError as error:
        raise TornReply(f"not a chat completion: {error.errors()[0]['msg']}") from error
    choice = body.choices[0]
    usage = body.usage or _Usage(prompt_tokens=0, completion_tokens=0)
    text, thought = apart(choice.message.content or "")
    return Reply(
        text=text,
        reasoning=choice.message.thought or thought,
        finish=choice.finish_reason or "unknown",
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


def apart(written: str) -> tuple[str, str]:
    """(answer, reasoning): a leading `<think>...</think>` taken out of what a model wrote.

    The opening mark may be missing, because some templates write it into the prompt; without the closing one all is reasoning, cut off.
    """
    head, closed, answer = written.partition(THOUGHT)
    if head.lstrip().startswith(THINK):
        return answer.lstrip(), head.lstrip().removeprefix(THINK).strip()
    return (answer.lstrip(), head.strip()) if closed and THINK not in head else (written, "")


def refusal() -> Reply:
    """The reply to a request that cannot be answered, however often it is asked."""
    return Reply(text="", finish=REFUSED, prompt_tokens=0, completion_tokens=0)


def _whole(data: bytes) -> bytes:
    """The same JSON with U+FFFD for half a surrogate pair, which no parser but Python's takes."""
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False)
    except ValueError:
        return data
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _asked(request: Request, sampling: Sampling) -> dict[str, object]:
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    return {
        "model": sampling.model,
        "messages": messages,
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
    }


def _dump(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class _Message(BaseModel):
    content: str | None = None
    reasoning_content: object = None
    reasoning: object = None

    @property
    def thought(self) -> str:
        """Under the one name (vLLM, SGLang, llama.cpp, DeepSeek) or the other (OpenRouter, newer vLLM)."""
        return next((each for each in (self.reasoning_content, self.reasoning) if isinstance(each, str)), "")


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)


class _Body(BaseModel):
    choices: Sequence[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
