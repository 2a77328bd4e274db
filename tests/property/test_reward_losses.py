"""Laws of the losses of pairs: what batching, order, side and repetition must not change."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core import registry
from skyloom.reward.losses._pairs import PairScores

NAMES = registry.names("reward.losses")
UNIT = st.floats(0, 1)
SCORE = st.floats(-30, 30)


@st.composite
def batches(draw, least=1):
    """1 to 8 pairs in float64 with any labels, score gaps of both signs, and at least one weight above 0."""
    size = draw(st.integers(least, 8))
    weight = st.one_of(st.just(0.0), st.floats(0.01, 10))
    parts = (SCORE, SCORE, weight, UNIT, st.floats(-5, 5))
    drawn = [draw(st.lists(part, min_size=size, max_size=size)) for part in parts]
    drawn[2][0] = drawn[2][0] or 1.0
    return PairScores(*(torch.tensor(part, dtype=torch.float64) for part in drawn))


@st.composite
def configs(draw, name):
    """A config of one loss with every shared field drawn."""
    module = registry.load("reward.losses", name)
    fields = {"label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.49])), "centre": draw(st.sampled_from([0.0, 0.01]))}
    if name != "cross_entropy":
        fields["score_margin"] = draw(st.sampled_from([0.0, 0.5, 3.0]))
    return module.Config(**fields)


def loss_and_gradients(name, pairs, config, count=None):
    """The loss, as a sum where a count is given, and its gradients by the scores."""
    sides = [part.clone().requires_grad_() for part in pairs[:2]]
    out = registry.load("reward.losses", name).loss(PairScores(*sides, *pairs[2:]), config)
    loss = out.loss if count is None else out.summed(count).loss
    return float(loss.detach()), torch.autograd.grad(loss, sides)


def close(left, right):
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(data=st.data())
def test_micro_batches_add_up(name, data):
    pairs, config = data.draw(batches(least=2)), data.draw(configs(name))
    cut = data.draw(st.integers(1, len(pairs.weight_B) - 1))
    total = float(pairs.weight_B.sum())
    whole, gradients = loss_and_gradients(name, pairs, config)
    parts = [PairScores(*(part[piece] for part in pairs)) for piece in (slice(cut), slice(cut, None))]
    found = [loss_and_gradients(name, part, config, float(part.weight_B.sum())) for part in parts]
    assert sum(loss for loss, _ in found) / total == pytest.approx(whole, rel=1e-9)
    for side in (0, 1):
        close(torch.cat([gradient[side] for _, gradient in found]) / total, gradients[side])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40)
@given(data=st.data())
def test_the_same_pair_written_the_other_way_round(name, data):
    pairs, config = data.draw(batches()), data.draw(configs(name))
    chosen, rejected, weight, label, gap = pairs
    loss, gradients = loss_and_gradients(name, pairs, config)
    other, swapped = loss_and_gradients(name, PairScores(rejected, chosen, weight, 1 - label, -gap), config)
    assert other == pytest.approx(loss, rel=1e-9)
    close(swapped[0], gradients[1])
    close(swapped[1], gradients[0])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(data=st.data())
def test_weight_two_is_the_pair_twice_and_order_is_nothing(name, data):
    pairs, config = data.draw(batches()), data.draw(configs(name))
    size = len(pairs.weight_B)
    place = data.draw(st.integers(0, size - 1))
    order = torch.tensor(data.draw(st.permutations([*range(size), place])))
    heavy = pairs.weight_B.clone()
    heavy[place] *= 2
    loss, _ = loss_and_gradients(name, pairs._replace(weight_B=heavy), config)
    twice, _ = loss_and_gradients(name, PairScores(*(part[order] for part in pairs)), config)
    assert twice == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(data=st.data())
def test_a_loss_is_at_least_zero_and_linear_in_the_label(name, data):
    pairs, config = data.draw(batches()), data.draw(configs(name))
    one = torch.ones_like(pairs.label_B)
    sure, wrong, mixed = (
        loss_and_gradients(name, pairs._replace(label_B=label), config)[0] for label in (one, 0 * one, 0.3 * one)
    )
    assert min(sure, wrong) >= 0
    assert math.isclose(mixed, 0.3 * sure + 0.7 * wrong, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"cross_entropy"}))
@settings(max_examples=30)
@given(data=st.data(), shift=st.floats(-100, 100))
def test_a_constant_added_to_all_scores_changes_only_centring_and_the_pointwise_loss(name, data, shift):
    pairs = data.draw(batches())
    config = registry.load("reward.losses", name).Config(label_smoothing=0.1, score_margin=0.5)
    moved = pairs._replace(chosen_B=pairs.chosen_B + shift, rejected_B=pairs.rejected_B + shift)
    loss, _ = loss_and_gradients(name, pairs, config)
    assert loss_and_gradients(name, moved, config)[0] == pytest.approx(loss, rel=1e-6, abs=1e-9)
