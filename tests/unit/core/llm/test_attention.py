"""Pieces: attention over a row of prompts and replies equals attention over each conversation alone."""

import pytest
import torch
from torch import nn

from skyloom.core.llm.attention import Piece, _attend


def naive(query, key, value, seen):
    """softmax(q k' / sqrt(d)) v over what each token sees, one head at a time."""
    weight = (query @ key.transpose(-1, -2)) / query.shape[-1] ** 0.5
    return weight.masked_fill(~seen, -torch.inf).softmax(-1) @ value


@pytest.mark.parametrize("pieces", [
    (Piece(0, (5,)),), (Piece(4, (3, 1, 2)),), (Piece(0, (2, 3)), Piece(1, (1,)), Piece(6, (2, 2))),
])  # fmt: skip
def test_a_token_sees_its_prompt_and_its_own_reply_up_to_itself(pieces):
    tokens = sum(piece.prompt + sum(piece.replies) for piece in pieces)
    seen, at = torch.zeros(tokens, tokens, dtype=torch.bool), 0
    for prompt, replies in pieces:
        start, at = at, at + prompt
        seen[start:at, start:at] = True
        for length in replies:
            seen[at : at + length, start : start + prompt] = True
            seen[at : at + length, at : at + length] = True
            at += length
    seen = seen.tril()
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 3, tokens, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    module = nn.Module()
    module.is_causal = True
    out, _ = _attend(module, query, key, value, None, pieces=pieces)
    assert torch.allclose(out.transpose(1, 2), naive(query, key, value, seen), atol=1e-12)
