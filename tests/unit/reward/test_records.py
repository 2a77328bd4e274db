"""Pairs: what is refused, and by which field."""

import pytest

from skyloom.core.errors import BadRow
from skyloom.core.records import Message, from_row, to_row
from skyloom.reward.records import Pair, check_prompt, pair, prompt_text

USER, ANSWER, SYSTEM = (Message(role=role, content=role) for role in ("user", "assistant", "system"))


def test_a_whole_pair_survives_the_ledger():
    made = pair([SYSTEM, USER, ANSWER, USER], "a", "b", category="c", score_chosen=1.0)
    assert from_row(Pair, to_row(made)) == made
    assert made.score_rejected is None


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ([], "no turns"),
        ([ANSWER], "role order"),
        ([USER, USER], "role order"),
        ([USER, ANSWER], "last turn"),
        ([USER, SYSTEM, USER], "system turn"),
        ([SYSTEM], "role order"),
        ([Message(role="user", content=" ")], "empty"),
        ([Message(role="tool", content="x")], "unknown role"),
    ],
)
def test_broken_prompts_are_refused(prompt, reason):
    with pytest.raises(BadRow, match=reason) as error:
        check_prompt(prompt)
    assert error.value.field == "prompt"


@pytest.mark.parametrize(
    ("chosen", "rejected", "field"), [("", "b", "chosen"), ("a", "\n", "rejected"), ("a", " a ", "rejected")]
)
def test_sides_must_hold_text_and_differ(chosen, rejected, field):
    with pytest.raises(BadRow) as error:
        pair([USER], chosen, rejected)
    assert error.value.field == field


def test_prompt_text_names_the_roles():
    assert prompt_text([USER, ANSWER]) == "user: user\nassistant: assistant"
