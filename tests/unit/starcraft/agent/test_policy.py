"""Sampling and selection: known distributions, legality, and every action playable."""

import numpy as np
import pytest
import torch

from skyloom.arena import spec, view
from skyloom.arena.command import encode
from skyloom.starcraft.agent.config import AgentConfig, PolicyConfig
from skyloom.starcraft.agent.network import Agent
from skyloom.starcraft.agent.policy import NetworkPolicy, sample, select
from skyloom.starcraft.policies import DRAWS


def test_draws_follow_the_softmax():
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.7]])).expand(3, -1)
    found = sample(logits, None, np.array([0.05, 0.25, 0.95]), 1.0)
    assert found.tolist() == [0, 1, 2]
    many = sample(logits[:1].expand(20_000, -1), None, np.random.default_rng(0).random(20_000), 1.0)
    assert np.bincount(many.numpy()) / 20_000 == pytest.approx([0.1, 0.2, 0.7], abs=0.01)


def test_only_legal_entries_are_drawn_at_both_ends():
    logits = torch.tensor([[9.0, 0.0, 0.0, 9.0]])
    legal = torch.tensor([[False, True, True, False]])
    assert sample(logits, legal, np.array([0.0]), 1.0).tolist() == [1]
    assert sample(logits, legal, np.array([1 - 1e-16]), 1.0).tolist() == [2]


def test_a_low_temperature_takes_the_likeliest():
    logits = torch.tensor([[0.0, 0.5, 0.0]]).expand(50, -1)
    assert set(sample(logits, None, np.linspace(0.001, 0.999, 50), 0.01).tolist()) == {1}


def test_selection_takes_positive_logits_else_the_best_legal_unit():
    logits = torch.tensor([[1.0, -1.0, 2.0], [-3.0, -1.0, -2.0], [5.0, -1.0, -2.0], [1.0, 1.0, 1.0]])
    legal = torch.tensor([[True, True, True], [True, True, True], [False, True, True], [False, False, False]])
    expected = [[True, False, True], [False, True, False], [False, True, False], [False, False, False]]
    assert select(logits, legal).tolist() == expected


def test_an_untrained_network_acts_legally_and_does_not_depend_on_its_neighbours(two_views: view.View):
    torch.manual_seed(1)
    policy = NetworkPolicy(Agent(AgentConfig(width=16, core=32, channels=8)), PolicyConfig())
    looks = two_views
    legal = view.masks(looks)
    rng = np.random.default_rng(2)
    for _ in range(60):
        draws = rng.random((2, DRAWS))
        first, second = policy.act(looks, draws)
        encode(looks[0], first)
        encode(looks[1], second)
        assert legal.kinds[0, first.kind]
        assert second.kind == spec.NO_OP
        (alone,) = policy.act(view.View(**{n: getattr(looks, n)[:1] for n in looks.__slots__}), draws[:1])
        assert alone == first


def test_temperatures_above_zero_only():
    with pytest.raises(ValueError, match="above 0"):
        PolicyConfig(aim_temperature=0.0)
