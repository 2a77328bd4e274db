"""Losses of pairs against their formulas, in float64."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import softplus

from skyloom.core import registry
from skyloom.reward.losses import bradley_terry, focal
from skyloom.reward.model import PairScores

NAMES = registry.names("reward.losses")


def scores(gaps):
    gap = torch.tensor(gaps, dtype=torch.float64)
    return PairScores(gap + 0.3, torch.full_like(gap, 0.3))


def run(name, pairs, **fields):
    module = registry.load("reward.losses", name)
    return module.loss(pairs, module.Config(**fields))


def test_bradley_terry_is_softplus_of_the_shortfall():
    gaps = [-3.0, 0.0, 0.5, 8.0]
    for margin in (0.0, 0.7):
        expected = softplus(margin - torch.tensor(gaps, dtype=torch.float64)).mean()
        assert bradley_terry.loss(scores(gaps), bradley_terry.Config(margin=margin)).loss == pytest.approx(
            float(expected)
        )
    assert float(run("bradley_terry", scores([0.0])).loss) == pytest.approx(math.log(2))


def test_focal_without_focus_is_bradley_terry_and_its_formula_holds():
    pairs = scores([-2.0, 0.1, 3.0])
    assert float(focal.loss(pairs, focal.Config(gamma=0)).loss) == pytest.approx(
        float(run("bradley_terry", pairs).loss)
    )
    p = torch.sigmoid(pairs.chosen_B - pairs.rejected_B)
    expected = (-((1 - p) ** 2) * p.log()).mean()
    assert float(focal.loss(pairs, focal.Config(gamma=2)).loss) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_match_finite_differences(name):
    chosen, rejected = (torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    assert gradcheck(
        lambda c, r: run(name, PairScores(c, r)).loss, (chosen.requires_grad_(), rejected.requires_grad_())
    )


@pytest.mark.parametrize("name", NAMES)
def test_finite_at_extremes_and_falling_in_the_gap(name):
    values = [float(run(name, scores([gap])).loss) for gap in (-1e4, -10.0, -1.0, 0.0, 1.0, 10.0)]
    assert all(math.isfinite(value) for value in values)
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_a_tie_reads_as_half_a_win():
    out = run("bradley_terry", scores([0.0, 1.0, -1.0, 2.0]))
    assert float(out.metrics["win_rate"]) == pytest.approx(0.625)
    assert float(out.metrics["gap"]) == pytest.approx(0.5)
