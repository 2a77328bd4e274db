"""Replies of a real model, read as they were when a person looked at them: a parser that changes its mind shows here.

The replies are of Qwen2.5-Coder-1.5B-Instruct (Q4_K_M GGUF, SHA-256 cc324af0..., Apache-2.0) at temperature 0.7, to problems of our own.
"""

import json
from pathlib import Path

import pytest

from skyloom.core import registry
from skyloom.mathqa.operators import Call, Refused

FILE = Path(__file__).with_name("replies") / "qwen2.5-coder-1.5b.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
AUGMENT = registry.names("mathqa.augment")


def call_of(row) -> Call:
    calls = {call.name: call for call in registry.load("mathqa.augment", row["augmenter"]).CALLS}
    return calls[row["call"]]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['augmenter']}-{row['call']}-{k}" for k, row in enumerate(ROWS)])
def test_a_real_reply_is_read_as_it_was(row):
    try:
        got = {"read": dict(call_of(row).parse(row["reply"], row["slots"]))}
    except Refused as error:
        got = {"refused": error.reason}
    assert got == {key: row[key] for key in ("read", "refused") if key in row}


@pytest.mark.parametrize("name", AUGMENT)
def test_every_augmenter_has_real_replies(name):
    assert any("read" in row for row in ROWS if row["augmenter"] == name)
