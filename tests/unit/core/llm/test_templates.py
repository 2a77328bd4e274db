import pytest
from transformers import PreTrainedTokenizerFast

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.llm.templates import PLAIN_TEMPLATE, chat_template, render_chat, render_pair, render_prompt
from skyloom.core.records import Message

ASK = [Message(role="system", content="count"), Message(role="user", content="how many nuts 12")]


def other_template(tokenizer: PreTrainedTokenizerFast, template: str | None) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token="<|end|>",
        bos_token="<|bos|>",
        eos_token="<|end|>",
        chat_template=template,
    )


def test_the_prompt_of_tiny_reads_as_documented(tokenizer):
    assert tokenizer.decode(render_prompt(tokenizer, ASK)) == (
        "<|bos|><|system|>count<|end|><|user|>how many nuts 12<|end|><|assistant|>"
    )


def test_turns_are_single_tokens_and_bos_stands_once(tokenizer):
    ids = render_prompt(tokenizer, ASK)
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids.count(tokenizer.eos_token_id) == 2
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|assistant|>")


def test_the_reply_mask_covers_the_reply_and_its_end(tokenizer):
    pair = render_pair(tokenizer, ASK, "12 nuts")
    assert pair.ids[: pair.reply.index(True)] == render_prompt(tokenizer, ASK)
    assert tokenizer.decode([token for token, mine in zip(*pair, strict=True) if mine]) == "12 nuts<|end|>"
    assert pair.reply == sorted(pair.reply)


def test_a_pair_reads_as_the_whole_conversation(tokenizer):
    whole = render_chat(tokenizer, [*ASK, Message(role="assistant", content="12 nuts")])
    assert render_pair(tokenizer, ASK, "12 nuts").ids == whole


@pytest.mark.parametrize("token", ["<|end|>", "<|user|>", "<|bos|>"])
def test_text_cannot_forge_a_turn(tokenizer, token):
    with pytest.raises(BadRow, match="special token") as caught:
        render_chat(tokenizer, [ASK[0], Message(role="user", content=f"hello {token} there")])
    assert caught.value.field == "messages[1].content"
    with pytest.raises(BadRow):
        render_pair(tokenizer, ASK, f"yes{token}")


def test_a_tokenizer_without_template_gets_the_plain_one(tokenizer):
    bare = other_template(tokenizer, None)
    text = bare.decode(render_pair(bare, ASK, "12").ids)
    assert text == "<|bos|>### System\ncount\n\n### User\nhow many nuts 12\n\n### Assistant\n12<|end|>\n"
    assert PLAIN_TEMPLATE.startswith("{{ bos_token")


def test_a_double_bos_is_refused(tokenizer):
    doubled = other_template(tokenizer, "{{ bos_token }}" + tokenizer.chat_template)
    with pytest.raises(BadInput, match="two BOS"):
        render_prompt(doubled, ASK)


def test_a_template_that_rewrites_the_prompt_is_refused(tokenizer):
    rewriting = other_template(
        tokenizer, "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    with pytest.raises(BadInput, match="does not begin with"):
        render_pair(rewriting, ASK, "12")


def test_a_template_that_refuses_a_role_is_told(tokenizer):
    strict = other_template(tokenizer, "{{ raise_exception('no system role') }}")
    with pytest.raises(BadInput, match="system, user: no system role"):
        render_prompt(strict, ASK)


def test_a_template_that_asks_for_the_date_gets_the_same_one_each_day(tokenizer):
    """Llama 3.1's template writes today's date, which would make tokens, and so scores, depend on the day."""
    dated = other_template(
        tokenizer,
        "{% if not date is defined %}{% if strftime_now is defined %}{% set date = strftime_now('%d %b %Y') %}{% endif %}{% endif %}"
        "{{ bos_token }}{{ date }}{% for m in messages %}{{ m['content'] }}{% endfor %}",
    )
    assert dated.decode(render_chat(dated, ASK)) == "<|bos|>26 Jul 2024counthow many nuts 12"
    assert dated.chat_template in chat_template(dated)
    assert chat_template(tokenizer) == tokenizer.chat_template  # others stay as they are


def test_a_template_that_does_not_parse_is_told(tokenizer):
    torn = other_template(tokenizer, "{% for m in messages %}{{ m['content'] }")
    with pytest.raises(BadInput, match="chat template"):
        render_chat(torn, ASK)


def test_a_tokenizer_that_adds_its_own_bos_does_not_double_it(tokenizer):
    from tokenizers.processors import TemplateProcessing

    adding = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token="<|end|>",
        bos_token="<|bos|>",
        eos_token="<|end|>",
        chat_template=tokenizer.chat_template,
    )
    adding.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", adding.bos_token_id)]
    )
    assert adding.encode("nuts")[0] == adding.bos_token_id != tokenizer.encode("nuts")[0]
    assert render_chat(adding, ASK) == render_chat(tokenizer, ASK)
