"""Layouts: the same scores and the same gradients however conversations lie in memory, on every kind of backbone."""

import numpy as np
import pytest
import torch

from reward_models import alike, backbone, groups, make_pairs, scores64, small_tokenizer
from skyloom.core.errors import BadInput
from skyloom.reward.layout import Group, arrange, choose, group_of, plan, saved, size, split
from skyloom.reward.score import Scorer, layouts_of, takes
from skyloom.reward.settings import ScoreConfig

KINDS = ("llama", "qwen2", "mistral", "gemma2", "gemma3", "gpt2")
EAGER_64 = 1e-6
"""Eager attention takes its softmax in float32 whatever the weights are, so Gemma 2 cannot agree to 1e-10."""


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


def alone(model, some):
    """Every conversation in a forward pass of its own, without padding."""
    return torch.cat([scores64(model, arrange([Group([], [row])], "padded", 0)) for g in some for row in g.rows])


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_every_layout_gives_the_score_of_a_conversation_alone(kind, dtype, bound):
    model, some = backbone(kind, dtype), groups(kind)
    bound = max(bound, EAGER_64) if kind == "gemma2" else bound
    with torch.no_grad():
        told = alone(model, some)
        assert float(told.std()) > 0.1  # a model that says the same to all would pass everything
        for layout in ("padded", *layouts_of(model, 64), "flat"):
            assert alike(told, scores64(model, arrange(some, layout, 0)), bound), layout


def test_every_layout_gives_the_same_gradients(kind):
    model = backbone(kind, torch.float64)
    some = [group._replace(branches=(group.branches * 2)[:2]) for group in groups(kind, "pairs")]
    some = [group if group.branches[0] != group.branches[1] else Group(group.prefix, [[3, 4], [5]]) for group in some]

    def gradients(layout):
        model.zero_grad(set_to_none=True)
        scores = scores64(model, arrange(some, layout, 0))
        (-torch.nn.functional.logsigmoid(scores[::2] - scores[1::2]).mean()).backward()
        return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}

    padded = gradients("padded")
    largest = max(float(grad.abs().max()) for grad in padded.values())
    for layout in {"flat", *layouts_of(model, 64)} - {"padded"}:
        other = gradients(layout)
        assert other.keys() == padded.keys()
        worst = max(float((other[name] - grad).abs().max()) for name, grad in padded.items())
        # The head is float32, and eager attention's softmax too.
        assert worst <= (1e-5 if kind == "gemma2" else 1e-6) * largest, layout


@pytest.mark.parametrize(
    ("name", "max_length", "layouts"),
    [
        ("llama", 64, {"padded", "flat", "shared"}),
        ("gpt2", 64, {"padded", "flat", "shared"}),
        ("sliding", 64, {"padded"}),  # pieces know no window
        ("gemma3", 64, {"padded", "flat", "shared"}),
        ("gemma3", 65, {"padded"}),
        ("gemma2", 64, {"padded"}),  # eager attention: nobody tells it where pieces end
        ("bloom", 64, {"padded"}),
        ("mamba", 64, {"padded"}),
        ("mpt", 64, {"padded"}),
    ],
)
def test_layouts_without_padding_are_for_backbones_that_take_them(name, max_length, layouts):
    assert set(layouts_of(backbone(name), max_length)) == layouts


def test_rows_without_padding_where_they_are_refused_would_have_changed_the_scores():
    model, some = backbone("sliding"), groups("sliding")
    with torch.no_grad():
        assert not alike(alone(model, some), model(arrange(some, "shared", 0)), 1e-2)


@pytest.mark.parametrize(("name", "flat"), [("gpt2", True), ("bloom", False), ("mamba", False)])
def test_flat_rows_are_told_apart_only_by_some_backbones(name, flat):
    assert takes(backbone(name), "flat", 64) is flat


def test_asking_changes_neither_the_mode_nor_the_weights():
    model = backbone("llama").train()
    before = [weight.clone() for weight in model.parameters()]
    assert takes(model, "shared", 64)
    assert model.training
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["sliding", "mamba", "mpt"])
def test_a_scorer_is_right_where_prompts_cannot_be_shared(name):
    tokenizer = small_tokenizer()
    model = backbone(name)
    model.backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    scorer = Scorer(model, tokenizer, ScoreConfig(max_length=64, budget=200))
    encoded = [scorer.encode(each.prompt, (each.chosen, each.rejected)) for each in make_pairs(5)]
    assert scorer.protocol["layouts"] == ["padded"]
    with torch.no_grad():
        told = alone(model, [each.group for each in encoded])
    assert alike(told, np.concatenate(scorer.score(encoded)), 1e-5)


def test_a_model_without_a_longest_input_asks_for_one():
    with pytest.raises(BadInput, match="set max_length"):
        Scorer(backbone("mamba"), small_tokenizer(), ScoreConfig())


def test_what_all_rows_begin_with_is_the_prefix_and_every_branch_keeps_a_token():
    assert group_of([[1, 2, 3, 4], [1, 2, 5]]) == Group([1, 2], [[3, 4], [5]])
    assert group_of([[1, 2], [1, 2, 3]]) == Group([1], [[2], [2, 3]])  # one reply is the beginning of the other
    assert group_of([[1, 2], [1, 2]]) == Group([1], [[2], [2]])
    assert group_of([[1], [2]]) == Group([], [[1], [2]])
    assert group_of([[7]]) == Group([], [[7]])


def test_prompts_are_shared_by_the_length_profile():
    every = ("padded", "flat", "shared")
    long, short = [Group([1] * 90, [[2] * 10] * 4)], [Group([1] * 2, [[2] * 10] * 4)]
    assert (choose(long, 64, every), choose(short, 64, every)) == ("shared", "shared")
    assert choose([Group([1], [[2] * 100] * 2)], 64, every) == "flat"
    assert choose(long, 64, ("padded",)) == "padded"
    # Without attention's share, four replies behind 90 tokens cost 130 of 400.
    assert saved(long, 10**9) == pytest.approx(1 - 130 / 400)
    assert saved([], 64) == 0


def test_a_group_above_the_budget_is_refused_with_its_size():
    with pytest.raises(BadInput, match="a group of 24 tokens is above the budget of 20"):
        plan([Group([1] * 4, [[2] * 8, [3]])], np.arange(1), "padded", 20)


def test_replies_are_split_under_the_budget_in_order():
    group = Group([1] * 5, [[2] * 4, [3], [4] * 4, [5] * 30])
    parts = split(group, 11)
    assert [branch for part in parts for branch in part.branches] == group.branches
    assert [len(part.branches) for part in parts] == [2, 1, 1]
    assert all(size([part], "shared") <= 11 for part in parts[:-1])
    assert split(group, 10_000) == [group]
