"""Conversations as token ids: the tokenizer's own chat template, one BOS, and which tokens are the reply.

Formula  prompt ids = tok(template(messages) + start of the assistant's turn); pair ids = prompt ids + tok(rest), so that
         training sees exactly the prompt ids that generation will see
Source   transformers' chat templates (Jinja); the double BOS that tokenising a rendered template adds is a known trap
         (allenai/reward-bench issue 164)
Flow     collect -> curate -> [train] -> [evaluate] -> report
Run      skyloom run RECIPE
"""

from collections.abc import Sequence
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Message

TINY_TEMPLATE: str = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Chat template of `tiny`: a role token, the text, the end token; no newlines, so that a turn costs two tokens."""
PLAIN_TEMPLATE: str = (
    "{{ bos_token or '' }}{% for message in messages %}{{ '### ' + message['role'] | capitalize + '\n' + message['content'] }}"
    "{{ eos_token + '\n' if message['role'] == 'assistant' else '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Assistant\n' }}{% endif %}"
)
"""Used for a tokenizer that brings no template of its own (base models)."""


FIXED_DATE: str = "{% macro strftime_now(form) %}26 Jul 2024{% endmacro %}"
"""What templates that ask for today's date are told: the day that Llama 3.1's own template names where it sees no clock."""


class Rendered(NamedTuple):
    """A prompt with its reply, as tokens."""

    ids: list[int]
    """Token ids of the prompt, then of the reply."""
    reply: list[bool]
    """True for the tokens of the reply, its end token included: what carries loss in SFT."""


def render_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids of a whole conversation, as a reward model reads it.

    Raises:
        BadRow: a message holds one of the tokenizer's special tokens as text, which would forge a turn.
        BadInput: the template refuses the roles.
    """
    return _encode(tokenizer, _text(tokenizer, messages, prompt=False))


def render_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to where the assistant's next reply begins; errors as in `render_chat`."""
    return _encode(tokenizer, _text(tokenizer, messages, prompt=True))


def render_pair(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], reply: str) -> Rendered:
    """Token ids of a conversation and its next reply, and which of them are the reply; errors as in `render_chat`.

    Raises BadInput also when the template writes the finished conversation otherwise than the prompt with a reply
    appended: what is learnt would not be what generation sees.
    """
    prompt = _text(tokenizer, messages, prompt=True)
    whole = _text(tokenizer, [*messages, Message(role="assistant", content=reply)], prompt=False)
    if not whole.startswith(prompt):
        raise BadInput(
            "chat template: the finished conversation does not begin with the rendered prompt; use another template"
        )
    prompt_ids = _encode(tokenizer, prompt)
    reply_ids: list[int] = tokenizer.encode(whole[len(prompt) :], add_special_tokens=False)
    return Rendered(prompt_ids + reply_ids, [False] * len(prompt_ids) + [True] * len(reply_ids))


def chat_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The tokenizer's own template, or the plain one where it brings none.

    Some templates read the clock (Llama 3.1's writes today's date): a macro stands in for it, so that tokens do not depend on the day.
    """
    own = tokenizer.chat_template
    template = own if isinstance(own, str) and own else PLAIN_TEMPLATE
    return FIXED_DATE + template if "strftime_now" in template else template


def _text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, prompt: bool) -> str:
    for place, message in enumerate(messages):
        for token in tokenizer.all_special_tokens:
            if token in message.content:
                raise BadRow(f"messages[{place}].content", f"holds the tokenizer's special token {token!r} as text")
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return str(
            tokenizer.apply_chat_template(
                turns, chat_template=chat_template(tokenizer), tokenize=False, add_generation_prompt=prompt
            )
        )
    except TemplateError as error:
        roles = ", ".join(message.role for message in messages)
        raise BadInput(f"chat template: refuses the roles {roles}: {error}") from error


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    # The template has written BOS already; a tokenizer that adds its own would double it.
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    bos = tokenizer.bos_token_id
    if bos is not None and ids[:2] == [bos, bos]:
        raise BadInput("chat template: the conversation begins with two BOS tokens; repair the template")
    return ids
