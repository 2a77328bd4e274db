"""Requests and answers of the reward server as JSON, and requests as tokens.

Source   /classify is vLLM's (vllm/entrypoints/pooling/classify/protocol.py); /v1/score is ours
Fields   /v1/score refuses a field that it does not know: a misspelt `responses` would be scored as nothing. /classify ignores
         what it does not know, as vLLM does, and refuses what vLLM knows and would change the score.
Defaults /classify adds the tokenizer's special tokens to strings unless told not to, and none to `messages`, both as vLLM. Where vLLM
         by default squashes the one logit, the raw logit is given: a sigmoid near 1 has lost what tells two good replies apart.
Flow     bytes -> [parse -> encode] -> batcher -> [answer]
Shapes   R responses of one prompt
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skyloom.core.config import JSON
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Message
from skyloom.reward.records import check_prompt

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from skyloom.reward.calibrate import Calibration
    from skyloom.reward.encoding import Encoded
    from skyloom.reward.score import Scorer

MOST: int = 1024
"""Most items of a request, responses of an item, turns of a conversation (ours)."""
REPEATED: int = 4
"""A prompt is tokenised with each of its responses: all that text together may be so many times the largest body (ours)."""
M = TypeVar("M", bound=BaseModel)


class Refused(Exception):
    """A request that gets no score: its HTTP status, and one line for whoever sent it."""

    def __init__(self, status: int, reason: str, retry_s: int = 0, *, unread: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.unread = unread
        """Whether part of the body has not been read."""
        self.retry_s = retry_s
        """Seconds after which the same request may be taken; 0: never."""


class Turn(BaseModel):
    """One turn of a conversation; `content` is text, not a list of parts."""

    model_config = ConfigDict(extra="forbid", strict=True)
    role: Literal["system", "user", "assistant"]
    content: str


Turns = Annotated[list[Turn], Field(min_length=1, max_length=MOST)]


class ScoreItem(BaseModel):
    """One prompt and its responses, or one whole conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: Annotated[str, Field(max_length=256)] | None = None
    """Given back as it came."""
    messages: Turns | None = None
    """A whole conversation; its last turn, the assistant's, is scored."""
    prompt: str | Turns | None = None
    """What the responses answer: the user's text, or the turns up to a user's."""
    responses: Annotated[list[str], Field(min_length=1, max_length=MOST)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "ScoreItem":
        self.check()
        return self

    def check(self) -> None:
        """Raise ValueError unless exactly one form is given."""
        whole, parts = self.messages is not None, (self.prompt is not None, self.responses is not None)
        if whole == any(parts) or any(parts) != all(parts):
            raise ValueError("give `messages`, or `prompt` with `responses`")
        if self.messages is not None and self.messages[-1].role != "assistant":
            raise ValueError("the last of `messages` must be the assistant's: it is what is scored")

    def conversation(self) -> tuple[list[Message], list[str]]:
        """The turns before the reply, and the replies."""
        turns = self.prompt if isinstance(self.prompt, list) else self.messages or []
        prompt = [Message(role=turn.role, content=turn.content) for turn in turns]
        if self.messages is not None:
            return prompt[:-1], [prompt[-1].content]
        if isinstance(self.prompt, str):
            prompt = [Message(role="user", content=self.prompt)]
        return prompt, self.responses or []


class ScoreRequest(ScoreItem):
    """Body of POST /v1/score: one item, or several under `items`."""

    model: str | None = None
    """Must be the served model's name where it is given."""
    items: Annotated[list[ScoreItem], Field(min_length=1, max_length=MOST)] | None = None

    def check(self) -> None:
        """The same, where `items` is a form too."""
        if self.items is None:
            ScoreItem.check(self)
        elif any(part is not None for part in (self.id, self.messages, self.prompt, self.responses)):
            raise ValueError("give `items`, or one item's own fields")


class ClassifyRequest(BaseModel):
    """Body of POST /classify: `input` as strings or token ids, already rendered, or `messages`, which the template renders."""

    model_config = ConfigDict(extra="ignore", strict=True)
    model: str | None = None
    input: str | list[str] | list[int] | list[list[int]] | None = None
    messages: Turns | None = None
    add_special_tokens: bool | None = None
    """Null: true for `input`, false for `messages`, as in vLLM."""
    request_id: Annotated[str, Field(max_length=256)] | None = None
    use_activation: Literal[False] | None = None
    """The raw logit is given whatever it says; true is refused. `softmax` and `activation` are its older names."""
    softmax: Literal[False] | None = None
    activation: Literal[False] | None = None
    truncate_prompt_tokens: None = None
    chat_template: None = None
    chat_template_kwargs: None = None
    add_generation_prompt: Literal[False] | None = None
    continue_final_message: Literal[False] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "ClassifyRequest":
        if (self.input is None) == (self.messages is None):
            raise ValueError("give `input` or `messages`")
        if self.messages is not None and (self.add_special_tokens or self.messages[-1].role != "assistant"):
            raise ValueError(
                "`messages` must end with the assistant's turn, and get no special tokens but the template's"
            )
        if isinstance(self.input, list) and not 0 < len(self.texts()) <= MOST:
            raise ValueError(f"`input` must hold 1 to {MOST} texts")
        return self

    def texts(self) -> list[str] | list[list[int]]:
        """Every input by itself: text, or token ids."""
        if isinstance(self.input, str):
            return [self.input]
        given: Any = self.input or []  # Any: one of three kinds of list, told apart by its first element
        return [given] if given and isinstance(given[0], int) else given


class Prepared(NamedTuple):
    """A request as tokens."""

    names: list[str | None]
    """The items' own ids."""
    encoded: "list[Encoded]"
    request_id: str | None

    @property
    def tokens(self) -> int:
        """Tokens of all conversations, prompts counted with each response."""
        return sum(sum(lengths(each)) for each in self.encoded)


def lengths(encoded: "Encoded") -> list[int]:
    """Tokens of each conversation of one prompt, after truncation."""
    return [len(encoded.group.prefix) + len(branch) for branch in encoded.group.branches]


def prepare_score(scorer: "Scorer", body: bytes, max_body: int) -> Prepared:
    """POST /v1/score as tokens; raises Refused."""
    request = _parse(ScoreRequest, body)
    _check_model(scorer, request.model)
    items = request.items or [request]
    encoded: list[Encoded] = []
    for place, item in enumerate(items):
        prompt, responses = item.conversation()
        where = f"items[{place}]" if request.items else ""
        text = sum(len(turn.content) for turn in prompt) * len(responses)
        if text > REPEATED * max_body:
            raise Refused(
                422, _line(where, f"the prompt, once a response, is {text} characters long; send fewer responses")
            )
        encoded.append(_encode(scorer, prompt, responses, where))
    return Prepared([item.id for item in items], encoded, None)


def prepare_classify(scorer: "Scorer", body: bytes, max_body: int) -> Prepared:
    """POST /classify as tokens; raises Refused."""
    del max_body  # nothing is repeated here
    request = _parse(ClassifyRequest, body)
    _check_model(scorer, request.model)
    if request.messages is not None:
        turns = [Message(role=turn.role, content=turn.content) for turn in request.messages]
        return Prepared([None], [_encode(scorer, turns[:-1], [turns[-1].content], "")], request.request_id)
    encoded: list[Encoded] = []
    for place, text in enumerate(request.texts()):
        try:
            special = request.add_special_tokens is not False
            encoded.append(scorer.encode_text(text, special) if isinstance(text, str) else scorer.encode_ids(text))
        except (BadRow, BadInput) as error:
            raise Refused(422, _line(f"input[{place}]", error)) from error
    return Prepared([None] * len(encoded), encoded, request.request_id)


def score_answer(
    scorer: "Scorer", asked: Prepared, scores: Sequence[Float[np.ndarray, " R"]], number: str
) -> dict[str, JSON]:
    """What POST /v1/score gives back."""
    data: list[JSON] = [
        {
            "index": k,
            "id": name,
            "scores": scores_R.tolist(),
            **_calibrated(scorer.calibration, scores_R),
            "tokens": list[JSON](lengths(encoded)),
            "truncated": encoded.cut > 0,
        }
        for k, (name, encoded, scores_R) in enumerate(zip(asked.names, asked.encoded, scores, strict=True))
    ]
    return {"id": f"score-{number}", "object": "list", "model": scorer.name, "data": data, "usage": _usage(asked)}


def classify_answer(
    scorer: "Scorer", asked: Prepared, scores: Sequence[Float[np.ndarray, " R"]], number: str, created: int
) -> dict[str, JSON]:
    """What POST /classify gives back, in vLLM's form: one raw logit an input."""
    data: list[JSON] = [
        {"index": k, "label": "LABEL_0", "probs": [float(scores_R[0])], "num_classes": 1}
        for k, scores_R in enumerate(scores)
    ]
    about: dict[str, JSON] = {"id": f"classify-{asked.request_id or number}", "object": "list", "created": created}
    return {**about, "model": scorer.name, "data": data, "usage": _usage(asked)}


def _calibrated(calibration: "Calibration | None", scores_R: Float[np.ndarray, " R"]) -> dict[str, JSON]:
    """Normalised scores, and each response's chance to be preferred to another of its prompt's responses, drawn evenly."""
    if calibration is None:
        return {"normalized": None, "p_win": None}
    normal_R = np.asarray(calibration.normal(scores_R), dtype=np.float64)
    if len(scores_R) == 1:
        return {"normalized": normal_R.tolist(), "p_win": None}
    p_RR = np.asarray(calibration.p_win(scores_R[:, None] - scores_R[None, :]), dtype=np.float64)
    p_win_R = (p_RR.sum(1) - p_RR.diagonal()) / (len(scores_R) - 1)
    return {"normalized": normal_R.tolist(), "p_win": p_win_R.tolist()}


def _usage(asked: Prepared) -> dict[str, JSON]:
    return {"prompt_tokens": asked.tokens, "total_tokens": asked.tokens, "completion_tokens": 0}


def _encode(scorer: "Scorer", prompt: list[Message], responses: list[str], where: str) -> "Encoded":
    try:
        check_prompt(prompt)
        empty = next((k for k, text in enumerate(responses) if not text.strip()), None)
        if empty is not None:
            raise BadRow(f"responses[{empty}]", "empty")
        return scorer.encode(prompt, responses)
    except (BadRow, BadInput) as error:
        raise Refused(422, _line(where, error)) from error


def _check_model(scorer: "Scorer", asked: str | None) -> None:
    if asked is not None and asked != scorer.name:
        raise Refused(404, f"model: {asked[:200]!r} is not served here, {scorer.name!r} is")


def _parse(form: type[M], body: bytes) -> M:
    """A body as its form; of a union's several complaints the one that got deepest is told."""
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        if errors[0]["type"] == "json_invalid":
            raise Refused(400, errors[0]["msg"]) from error
        worst = max(errors, key=lambda each: len(each["loc"]))
        raise Refused(422, _line(_path(worst), worst["msg"].removeprefix("Value error, "))) from error


def _path(error: "ErrorDetails") -> str:
    """Where in the body: a union's branches stand in pydantic's path as type names, which the sender never wrote."""
    parts = error["loc"]
    if error["type"] != "extra_forbidden":  # then the last part is the sender's own word
        parts = tuple(part for part in parts if isinstance(part, int) or (part.isidentifier() and part != "str"))
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part[:100]}" for part in parts).removeprefix(".")


def _line(where: str, reason: object) -> str:
    text = " ".join(str(reason).split())
    return f"{where}: {text}" if where else text
