"""The roomy cache holds what transformers' own holds, token by token, whatever is selected."""

import pytest
import torch
from transformers import DynamicCache

from skyloom.core.llm import cache as module
from skyloom.core.llm.cache import roomy_cache


@pytest.mark.parametrize("room", [1, 3, 128])
def test_it_holds_what_the_growing_cache_holds(model, monkeypatch, room):
    monkeypatch.setattr(module, "ROOM", room)
    ours, theirs = roomy_cache(model.config), DynamicCache(config=model.config)
    draw = torch.Generator().manual_seed(0)
    rows = 4
    for step in range(12):
        tokens = 5 if step == 0 else 1
        for layer in range(2):
            states = [torch.randn(rows, 2, tokens, 16, generator=draw) for _ in range(2)]
            for a, b in zip(ours.update(*states, layer), theirs.update(*states, layer), strict=True):
                assert torch.equal(a, b)
        assert ours.get_seq_length() == theirs.get_seq_length() == 5 + step
        if step in (3, 7):
            chosen = torch.tensor([0, 2, 2, 1, 3] if step == 3 else [4, 0])
            ours.batch_select_indices(chosen)
            theirs.batch_select_indices(chosen)
            rows = len(chosen)


def test_a_token_costs_no_copy_of_those_before(model):
    cache = roomy_cache(model.config)
    states = [torch.ones(1, 2, 3, 16)] * 2
    keys, _ = cache.update(*states, 0)
    more, _ = cache.update(*states, 0)
    assert keys.data_ptr() == more.data_ptr()


def test_a_model_writes_the_same_with_either(lively, tokenizer):
    ids = torch.tensor([tokenizer.encode("the box holds red apples")])
    written = []
    for cache in (roomy_cache(lively.config), DynamicCache(config=lively.config)):
        token, logits = ids, []
        for _ in range(20):
            out = lively(token, past_key_values=cache, use_cache=True).logits[:, -1]
            logits.append(out)
            token = out.argmax(dim=-1, keepdim=True)
        written.append(torch.cat(logits))
    assert torch.equal(*written)
