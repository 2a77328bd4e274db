"""Layouts and plans for any ragged groups: the same scores, every index once, never above the budget."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_models import WORDS, alike, backbone
from skyloom.core.errors import BadInput
from skyloom.reward.layout import Group, arrange, group_of, plan, size, split

TOKENS = st.integers(0, WORDS - 1)
BRANCHES = st.lists(st.lists(TOKENS, min_size=1, max_size=9), min_size=1, max_size=6)


@st.composite
def group(draw, least=0):
    """A prompt of `least` to 12 tokens with 1 to 6 replies, some of them beginnings of others, or equal."""
    branches = draw(BRANCHES)
    cut = draw(st.lists(st.integers(1, 9), max_size=2))
    branches += [branches[0][:length] for length in cut]
    return Group(draw(st.lists(TOKENS, min_size=least, max_size=12)), branches[-6:])


@pytest.fixture(scope="module")
def model():
    return backbone("llama")


@settings(max_examples=40)
@given(st.lists(group(), min_size=1, max_size=4), TOKENS)
def test_scores_are_those_of_each_conversation_alone_whatever_the_pad_id(model, some, pad_id):
    with torch.no_grad():
        alone = torch.cat([model(arrange([Group([], [row])], "padded", 0)) for each in some for row in each.rows])
        for layout in ("padded", "shared", "flat"):
            assert alike(alone, model(arrange(some, layout, pad_id)), 1e-5), layout


@given(st.lists(group(), min_size=1, max_size=12), st.sampled_from(["padded", "shared", "flat"]), st.integers(40, 300))
def test_a_plan_takes_every_index_once_within_the_budget(some, layout, budget):
    index = np.arange(len(some))[::2]
    largest = max(size([some[k]], layout) for k in index)
    if largest > budget:
        with pytest.raises(BadInput, match=f"above the budget of {budget}"):
            plan(some, index, layout, budget)
        budget = largest
    batches = plan(some, index, layout, budget)
    assert sorted(int(k) for batch in batches for k in batch) == index.tolist()
    for batch in batches:
        laid = arrange([some[int(k)] for k in batch], layout, 0)
        assert laid.ids_BT.numel() == size([some[int(k)] for k in batch], layout) <= budget
    shuffled = plan(some, index[::-1].copy(), layout, budget)  # the order that indices come in changes nothing
    assert [batch.tolist() for batch in shuffled] == [batch.tolist() for batch in batches]


@given(st.lists(st.lists(TOKENS, min_size=1, max_size=12), min_size=1, max_size=6))
def test_a_group_holds_its_rows_and_the_longest_prefix(rows):
    found = group_of(rows)
    assert found.rows == rows
    assert all(found.branches)
    shortest = min(map(len, rows))
    common = next((k for k in range(shortest) if len({row[k] for row in rows}) > 1), shortest)
    assert len(found.prefix) == min(common, shortest - 1)


@given(group(), st.integers(1, 60))
def test_parts_keep_the_replies_and_the_budget(whole, budget):
    parts = split(whole, budget)
    assert [branch for part in parts for branch in part.branches] == whole.branches
    assert all(part.prefix == whole.prefix for part in parts)
    assert all(len(part.branches) == 1 or size([part], "shared") <= budget for part in parts)
