import pytest
import torch

from skyloom.core.errors import BadInput
from skyloom.core.llm.config import GenerateConfig
from skyloom.core.llm.generate import _choose, generate
from skyloom.core.llm.templates import render_prompt
from skyloom.core.records import Message

GREEDY = GenerateConfig(max_new_tokens=12)
SAMPLED = GenerateConfig(max_new_tokens=12, temperature=1.5)


@pytest.fixture(scope="module")
def prompts(tokenizer, corpus):
    return [
        render_prompt(tokenizer, [Message(role="user", content=text[: 5 + 9 * (k % 5)])])
        for k, text in enumerate(corpus[:9])
    ]


@pytest.mark.parametrize("how", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_reply_does_not_depend_on_its_batch(lively, tokenizer, prompts, how):
    together = generate(lively, tokenizer, prompts, how, seed=3)
    longest = max(map(len, prompts)) + how.max_new_tokens
    few = GenerateConfig(max_new_tokens=12, temperature=how.temperature, batch_tokens=longest)
    assert generate(lively, tokenizer, prompts, few, seed=3) == together
    assert len({reply.ids for reply in together}) == len(prompts)
    assert any(len({*reply.ids}) > 3 for reply in together)


def test_greedy_is_what_transformers_writes(lively, tokenizer, prompts):
    for prompt, reply in zip(prompts, generate(lively, tokenizer, prompts, GREEDY), strict=True):
        ids = torch.tensor([prompt])
        out = lively.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        assert tuple(out[0, len(prompt) :].tolist()) == reply.ids


def test_one_seed_one_sample(lively, tokenizer, prompts):
    first = generate(lively, tokenizer, prompts, SAMPLED, seed=1)
    torch.rand(5)
    assert generate(lively, tokenizer, prompts, SAMPLED, seed=1) == first
    assert generate(lively, tokenizer, prompts, SAMPLED, seed=2) != first


def test_a_stop_text_cuts_the_reply(lively, tokenizer, prompts):
    free = generate(lively, tokenizer, prompts, SAMPLED, seed=1)
    row = max(range(len(free)), key=lambda k: len(free[k].text))
    stop = free[row].text[3:6]
    cut = generate(
        lively,
        tokenizer,
        prompts,
        GenerateConfig(max_new_tokens=12, temperature=1.5, stop=(stop, "never said")),
        seed=1,
    )[row]
    assert cut.text == free[row].text[: free[row].text.index(stop)]
    assert cut.finished
    assert cut.tokens < free[row].tokens


def test_the_end_token_finishes_a_row_alone(lively, tokenizer, prompts):
    end = tokenizer.eos_token_id
    hook = lively.lm_head.register_forward_hook(lambda _module, _args, logits: ended(logits))
    seen = []

    def ended(logits: torch.Tensor) -> torch.Tensor:
        seen.append(len(logits))
        logits = logits.clone()
        logits[0, -1, end] += 1e6  # the first live row ends at each step
        return logits

    try:
        replies = generate(lively, tokenizer, prompts[:4], GREEDY)
    finally:
        hook.remove()
    assert seen == [4, 3, 2, 1]  # finished rows leave the batch
    assert sorted(reply.tokens for reply in replies) == [1, 2, 3, 4]
    assert all(reply.finished for reply in replies)


def test_the_longest_reply_is_unfinished(lively, tokenizer, prompts):
    replies = generate(lively, tokenizer, prompts[:2], GenerateConfig(max_new_tokens=3))
    assert [(reply.tokens, reply.finished) for reply in replies] == [(3, False)] * 2


def test_no_prompts_no_replies(lively, tokenizer):
    assert generate(lively, tokenizer, [], GREEDY) == []


def test_a_prompt_that_cannot_fit_is_named(lively, tokenizer, prompts):
    with pytest.raises(BadInput, match="prompt 1 needs"):
        generate(lively, tokenizer, [[1], list(range(30))], GenerateConfig(max_new_tokens=10, batch_tokens=39))


def test_sampling_is_the_inverse_of_the_distribution():
    logits_BV = torch.tensor([[0.1, 0.6, 0.3]]).log().repeat(7, 1)
    at_B1 = torch.tensor([[0.0], [0.59], [0.61], [0.89], [0.91], [0.999], [0.3]], dtype=torch.float64)
    assert _choose(logits_BV, GenerateConfig(temperature=1.0), at_B1).tolist() == [1, 1, 2, 2, 0, 0, 1]
    # top_p 0.8 keeps the two likeliest and stretches u over their 0.9
    assert _choose(logits_BV, GenerateConfig(temperature=1.0, top_p=0.8), at_B1).tolist() == [1, 1, 1, 2, 2, 2, 1]
    assert _choose(logits_BV, GenerateConfig(temperature=1.0, top_p=0.01), at_B1).tolist() == [1] * 7


def test_temperature_sharpens():
    logits_BV = torch.tensor([[1.0, 2.0, 3.0]]).repeat(999, 1)
    at_B1 = torch.linspace(0, 0.999, 999, dtype=torch.float64)[:, None]
    for temperature in (0.5, 2.0):
        picked = _choose(logits_BV, GenerateConfig(temperature=temperature), at_B1)
        share = torch.bincount(picked, minlength=3) / 999
        assert torch.allclose(share.double(), torch.softmax(logits_BV[0].double() / temperature, 0), atol=3e-3)
