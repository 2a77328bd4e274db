"""Conversations as token groups: the template's checks and the three policies for what is too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_models import small_tokenizer, talk
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.llm.backbones import END
from skyloom.core.llm.templates import TINY_TEMPLATE, render_chat, render_prompt
from skyloom.core.records import Message
from skyloom.reward.encoding import Encoder, check_template, vocabulary_hash

TOKENIZER = small_tokenizer()
NO_BOS = small_tokenizer(TINY_TEMPLATE.replace("{{ bos_token }}", ""))


def rows(prompt, *replies, tokenizer=TOKENIZER):
    return [render_chat(tokenizer, [*prompt, Message(role="assistant", content=reply)]) for reply in replies]


def test_a_group_is_the_rendered_conversations():
    encoded = Encoder(TOKENIZER, 64, "error")(talk("question"), ["good answer", "good", "bad"])
    assert encoded.group.rows == rows(talk("question"), "good answer", "good", "bad")
    assert encoded.group.prefix[: len(render_prompt(TOKENIZER, talk("question")))] == render_prompt(
        TOKENIZER, talk("question")
    )
    assert encoded.cut == 0


def test_too_long_is_an_error_a_row_left_out_or_a_prompt_cut():
    prompt, replies = talk("question " * 20), ["good", "bad answer"]
    whole = rows(prompt, *replies)
    with pytest.raises(BadInput, match="more than max_length=20; raise it, or set over_long"):
        Encoder(TOKENIZER, 20, "error")(prompt, replies)
    with pytest.raises(BadRow, match="longer than 20 tokens"):
        Encoder(TOKENIZER, 20, "drop")(prompt, replies)
    encoded = Encoder(TOKENIZER, 20, "truncate")(prompt, replies)
    for row, full in zip(encoded.group.rows, whole, strict=True):
        assert len(row) == 20
        assert row == [TOKENIZER.bos_token_id, *full[len(full) - 19 :]]  # BOS and the reply stay
    assert encoded.cut == sum(map(len, whole)) - 40


def test_a_reply_is_never_cut():
    with pytest.raises(BadRow, match="the reply alone is longer than 20 tokens"):
        Encoder(TOKENIZER, 20, "truncate")(talk("question"), ["answer " * 40])


def test_a_special_token_in_a_text_is_refused_by_name():
    with pytest.raises(BadRow, match="special token") as error:
        Encoder(TOKENIZER, 64, "drop")(talk("question"), [f"good {END} bad"])
    assert error.value.field == "messages[1].content"


@given(
    st.integers(8, 70),
    st.integers(0, 30),
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.sampled_from([TOKENIZER, NO_BOS]),
)
def test_companions_change_no_row_under_truncation(limit, prompt, replies, tokenizer):
    encoder = Encoder(tokenizer, limit, "truncate")
    asked, texts = talk("ab " * prompt), ["cd " * count for count in replies]

    def alone(text):
        try:
            return encoder(asked, [text]).group.rows[0]
        except BadRow:
            return None

    told = [alone(text) for text in texts]
    if None in told:
        with pytest.raises(BadRow):
            encoder(asked, texts)
    else:
        encoded = encoder(asked, texts)
        assert encoded.group.rows == told
        assert all(encoded.group.branches)
        assert encoded.group.longest <= limit


def test_what_a_manifest_says():
    checks = check_template(TOKENIZER)
    assert checks["begins_with_bos"] is True
    assert checks["last_token"] == END
    assert checks["pad_is_eos"] is False
    assert check_template(NO_BOS)["begins_with_bos"] is False
    assert check_template(NO_BOS)["template"] != checks["template"]
    assert check_template(NO_BOS)["tokenizer"] == checks["tokenizer"] == vocabulary_hash(TOKENIZER)
    assert check_template(small_tokenizer(pad=END))["pad_is_eos"] is True


def test_another_vocabulary_has_another_hash():
    other = small_tokenizer()
    other.add_tokens(["zebra"])
    assert vocabulary_hash(other) != vocabulary_hash(TOKENIZER)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ bos_token }}" + TINY_TEMPLATE, "two BOS"),
        ("{{ bos_token }}{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}", "the assistant's reply"),
        ("{{ raise_exception('user only') }}", "refuses the roles user, assistant: user only"),
        ("{% for m in messages %}{{ m['content'] }", "chat template"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_told_in_one_line(template, message):
    with pytest.raises(BadInput, match=message) as error:
        Encoder(small_tokenizer(template), 64, "drop")
    assert "\n" not in str(error.value)
