"""Conversations as token groups: the template's checks, and what happens to a conversation that is too long.

Formula  a conversation's tokens = tok(template(prompt + reply)); above `max_length`: `error` stops, `drop` leaves the row out and
         counts it, `truncate` takes tokens from the left of the prompt (never its BOS, never the reply) and counts them
Source   policies: what peers do silently (TRL drops, OpenRLHF cuts the reply's end, reward-bench cuts the left only when forced);
         dates: NeMo-RL strips the date from Llama's template, because rewards depend on it
Flow     pairs or items -> [encoding] -> reward/layout.py
Run      skyloom reward score MODEL FILE.jsonl --over-long truncate
"""

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from transformers import PreTrainedTokenizerBase

from skyloom.core.config import JSON
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.llm.templates import chat_template, render_chat, render_prompt
from skyloom.core.records import Message
from skyloom.reward.layout import Group, group_of

OverLong = Literal["error", "drop", "truncate"]
PROBE: tuple[Message, ...] = (Message(role="user", content="a b"), Message(role="assistant", content="c d"))
"""A conversation that every template takes: what it makes of this is looked at once."""


class Encoded(NamedTuple):
    """One prompt and its replies as tokens."""

    group: Group
    cut: int
    """Tokens that were taken from the left of the prompt, over all replies."""


class Encoder:
    """Turns conversations into groups under one policy; made once for a tokenizer, whose template it checks."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, over_long: OverLong) -> None:
        """Raises BadInput for a template that writes two BOS tokens, or drops the reply."""
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.over_long: OverLong = over_long
        self.checks = check_template(tokenizer)
        self._bos = tokenizer.bos_token_id

    def __call__(self, prompt: Sequence[Message], replies: Sequence[str]) -> Encoded:
        """Token ids of all conversations of one prompt, each under the length policy by itself: companions change nothing.

        Raises BadRow where a text holds one of the tokenizer's special tokens, or is too long under `drop` (under `truncate`: its
        reply alone is); BadInput where it is too long under `error`.
        """
        rows = [render_chat(self.tokenizer, [*prompt, Message(role="assistant", content=reply)]) for reply in replies]
        spare = 0
        if self.over_long == "truncate" and max(map(len, rows)) > self.max_length:
            spare = len(render_prompt(self.tokenizer, prompt))
        fitted = [self.fit(row, spare) for row in rows]
        return Encoded(group_of(fitted), sum(map(len, rows)) - sum(map(len, fitted)))

    def fit(self, row: list[int], spare: int = 0) -> list[int]:
        """A conversation under the length policy; `spare` of its first tokens are the prompt's. Errors as above."""
        over = len(row) - self.max_length
        if over <= 0:
            return row
        if self.over_long == "error":
            raise BadInput(
                f"a conversation has {len(row)} tokens, more than max_length={self.max_length}; raise it, or set over_long to "
                "drop or truncate"
            )
        if self.over_long == "drop" or not spare:
            raise BadRow("", f"longer than {self.max_length} tokens")
        kept = 1 if row[:1] == [self._bos] else 0
        if over > spare - kept:
            raise BadRow("", f"the reply alone is longer than {self.max_length} tokens")
        return row[:kept] + row[kept + over :]


def check_template(tokenizer: PreTrainedTokenizerBase) -> dict[str, JSON]:
    """What a manifest should say of tokenizer and template; raises BadInput where the template cannot be used."""
    ids = render_chat(tokenizer, PROBE)  # raises for two BOS tokens
    other = render_chat(tokenizer, [PROBE[0], Message(role="assistant", content="e f")])
    if ids == other:
        raise BadInput("chat template: does not write the assistant's reply; repair the template")
    template = chat_template(tokenizer)
    return {
        "template": hashlib.sha256(template.encode()).hexdigest()[:16],
        "tokenizer": vocabulary_hash(tokenizer),
        "begins_with_bos": bool(ids[:1] == [tokenizer.bos_token_id]),
        "last_token": str(tokenizer.convert_ids_to_tokens(ids[-1])),
        "pad_is_eos": tokenizer.pad_token_id == tokenizer.eos_token_id,
        "pad_token": str(tokenizer.pad_token),
        "eos_token": str(tokenizer.eos_token),
    }


def vocabulary_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """16 hex digits over all tokens and their numbers: another tokenizer's model gives nonsense, not an error."""
    found = hashlib.sha256()
    for token, number in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1]):
        found.update(f"{number}\x1f{token}\x1e".encode("utf-8", "surrogatepass"))
    return found.hexdigest()[:16]
